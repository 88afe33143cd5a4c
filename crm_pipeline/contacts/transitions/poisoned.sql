-- Its process died for the fifth time: Processing/Processing -> Error/Error, until a person asks again.
WITH held AS MATERIALIZED (
    SELECT s.contact_id, s.lease_id, s.run_id, s.retry_count, s.crashes, s.email_key
    FROM crm_sync s
    JOIN unnest(CAST(:contact_ids AS uuid[]), CAST(:lease_ids AS uuid[])) AS locked (contact_id, lease_id)
        -- (IS TRUE keeps the planner from joining by the lease, each contact with each.)
        ON locked.contact_id = s.contact_id AND (locked.lease_id = s.lease_id) IS TRUE
    WHERE s.crm = :crm
        AND s.crashes + 1 >= :give_up_at
        AND NOT EXISTS (SELECT FROM crm_attempts a WHERE a.lease_id = s.lease_id AND a.contact_id = s.contact_id)
), contact AS (
    UPDATE contacts c
    SET {sync_status} = 'Error', {processing_status} = 'Error', next_retry_at = NULL, last_failed_crm = :crm,
        last_retry_at = now(), retry_count = held.retry_count,
        {error} = left(format('The process died %s times while this contact was being pushed. '
            'Look at its data, then select it again.', held.crashes + 1), {error_length})
    FROM held
    WHERE c.id = held.contact_id AND {in_flight}
    RETURNING c.id
), sync AS (
    UPDATE crm_sync s
    SET crashes = s.crashes + 1, next_retry_at = NULL, {release_lease}
    FROM held
    WHERE s.contact_id = held.contact_id AND s.crm = :crm
)
INSERT INTO crm_attempts (crm, contact_id, run_id, lease_id, attempt, target, started_at, outcome, note, external_id, applied)
SELECT :crm, held.contact_id, held.run_id, held.lease_id, held.retry_count + 1, :target, clock_timestamp(), 'released', :note,
    held.email_key, CASE WHEN held.contact_id IN (SELECT contact.id FROM contact) THEN 'applied' ELSE 'overruled' END
FROM held
ON CONFLICT (lease_id, contact_id) DO NOTHING
RETURNING contact_id
