-- An answer whose lease is no longer its own: a success takes Complete or Error -> Queued/Queued; else it is only marked.
-- The late request may have overwritten newer data in the CRM, so the contact is pushed once more. Under another lease it is
-- that one's end which queues it again: its claimed fingerprint is cleared.
WITH late AS MATERIALIZED (
    SELECT a.id, a.contact_id, a.outcome, s.lease_id
    FROM crm_attempts a
    JOIN crm_sync s ON s.contact_id = a.contact_id AND s.crm = a.crm
    WHERE a.id = ANY(CAST(:attempts AS bigint[])) AND a.applied = 'pending' AND s.lease_id IS DISTINCT FROM a.lease_id
), again AS (
    UPDATE contacts c SET {sync_status} = 'Queued', {processing_status} = 'Queued'
    FROM late
    WHERE c.id = late.contact_id AND late.outcome = 'synced' AND late.lease_id IS NULL
        AND c.{sync_status} IN ('Complete', 'Error') AND c.{processing_status} IS DISTINCT FROM 'Queued'
), held_by_another AS (
    UPDATE crm_sync s SET claimed_fingerprint = NULL
    FROM late
    WHERE s.contact_id = late.contact_id AND s.crm = :crm AND late.outcome = 'synced' AND late.lease_id IS NOT NULL
)
UPDATE crm_attempts a SET applied = 'fenced' FROM late WHERE a.id = late.id RETURNING a.contact_id
