-- Queued/Error whose time is past -> Queued/Queued, its retries kept.
-- Queued/Error without any time, Selected/NULL, Selected/Complete, Selected/Error, Queued/NULL, Queued/Complete
--   -> Selected/Queued: a wish written with one column.
WITH picked AS MATERIALIZED (
    SELECT c.id,
        c.{sync_status} = 'Queued' AND c.{processing_status} = 'Error'
            AND (s.next_retry_at IS NOT NULL OR (c.last_failed_crm = :crm AND c.next_retry_at IS NOT NULL)) IS TRUE AS is_retry
    FROM contacts c
    {mechanics}
    WHERE {promotable}
    ORDER BY c.id
    LIMIT :limit
    FOR NO KEY UPDATE OF c SKIP LOCKED
), contact AS (
    UPDATE contacts c
    SET {sync_status} = CAST(CASE WHEN picked.is_retry THEN 'Queued' ELSE 'Selected' END AS {sync_type}),
        {processing_status} = 'Queued',
        next_retry_at = CASE WHEN c.last_failed_crm = :crm THEN NULL ELSE c.next_retry_at END
    FROM picked
    WHERE c.id = picked.id
    RETURNING c.id
), forgotten AS (
    UPDATE crm_sync s SET next_retry_at = NULL
    FROM contact
    WHERE s.contact_id = contact.id AND s.crm = :crm AND s.next_retry_at IS NOT NULL
)
SELECT id FROM contact
