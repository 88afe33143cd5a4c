-- any -> New/NULL: nobody wants these contacts in the CRM any more.
-- Locked by id, as everybody locks.
WITH picked AS MATERIALIZED (
    SELECT c.id FROM contacts c WHERE c.id = ANY(CAST(:ids AS uuid[])) ORDER BY c.id FOR NO KEY UPDATE
), contact AS (
    UPDATE contacts c
    SET {sync_status} = 'New', {processing_status} = NULL,
        next_retry_at = CASE WHEN c.last_failed_crm = :crm THEN NULL ELSE c.next_retry_at END
    FROM picked
    WHERE c.id = picked.id
    RETURNING c.id
), forgotten AS (
    UPDATE crm_sync s SET next_retry_at = NULL
    FROM contact
    WHERE s.contact_id = contact.id AND s.crm = :crm AND {has_time}
)
SELECT id FROM contact
