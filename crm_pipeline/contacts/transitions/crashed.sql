-- Its process died, without a journalled answer: Processing/Processing -> the prior statuses, crashes + 1.
-- From 2 crashes on the contact is claimed alone, so that it cannot take others down with it.
-- Its request may have been made: the journal keeps the address that it was claimed with, where the CRM may have it.
WITH held AS MATERIALIZED (
    SELECT s.contact_id, s.lease_id, s.run_id, s.retry_count, s.email_key,
        CASE WHEN {fenced_at_rest} THEN 'Queued' ELSE s.prior_sync_status END AS prior_sync_status,
        CASE WHEN {fenced_at_rest} THEN 'Queued' ELSE s.prior_processing_status END AS prior_processing_status
    FROM crm_sync s
    JOIN unnest(CAST(:contact_ids AS uuid[]), CAST(:lease_ids AS uuid[])) AS locked (contact_id, lease_id)
        -- (IS TRUE keeps the planner from joining by the lease, each contact with each.)
        ON locked.contact_id = s.contact_id AND (locked.lease_id = s.lease_id) IS TRUE
    WHERE s.crm = :crm
        AND s.crashes + 1 < :give_up_at
        AND NOT EXISTS (SELECT FROM crm_attempts a WHERE a.lease_id = s.lease_id AND a.contact_id = s.contact_id)
), contact AS (
    UPDATE contacts c
    SET {sync_status} = CAST(held.prior_sync_status AS {sync_type}),
        {processing_status} = CAST(held.prior_processing_status AS {processing_type})
    FROM held
    WHERE c.id = held.contact_id AND {in_flight}
    RETURNING c.id
), sync AS (
    UPDATE crm_sync s
    SET crashes = s.crashes + 1, {release_lease}
    FROM held
    WHERE s.contact_id = held.contact_id AND s.crm = :crm
)
INSERT INTO crm_attempts (crm, contact_id, run_id, lease_id, attempt, target, started_at, outcome, note, external_id, applied)
SELECT :crm, held.contact_id, held.run_id, held.lease_id, held.retry_count + 1, :target, clock_timestamp(), 'released', :note,
    held.email_key, CASE WHEN held.contact_id IN (SELECT contact.id FROM contact) THEN 'applied' ELSE 'overruled' END
FROM held
ON CONFLICT (lease_id, contact_id) DO NOTHING
RETURNING contact_id
