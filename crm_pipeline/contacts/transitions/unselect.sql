-- any -> New/NULL. Nobody wants these contacts in the CRM any more.
WITH contact AS (
    UPDATE contacts c
    SET {sync_status} = 'New', {processing_status} = NULL,
        next_retry_at = CASE WHEN c.last_failed_crm = :crm THEN NULL ELSE c.next_retry_at END
    WHERE c.id = ANY(CAST(:ids AS uuid[]))
    RETURNING c.id
), forgotten AS (
    UPDATE crm_sync s SET next_retry_at = NULL
    FROM contact
    WHERE s.contact_id = contact.id AND s.crm = :crm AND s.next_retry_at IS NOT NULL
)
SELECT id FROM contact
