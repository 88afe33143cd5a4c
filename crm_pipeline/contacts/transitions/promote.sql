-- Backoff over, Queued/Error -> Queued/Queued; a wish written with one column, or no time known -> Selected/Queued.
-- Wishes: Selected/NULL, Selected/Complete, Selected/Error, Queued/NULL, Queued/Complete. A retry keeps its retries.
-- Some at a time, by id, each call going on behind the last: what still waits is looked at once; or one alone.
WITH picked AS MATERIALIZED (
    SELECT c.id, {is_retry} AS is_retry
    FROM contacts c
    {mechanics}
    WHERE {promotable}
        AND (CAST(:after AS uuid) IS NULL OR c.id > CAST(:after AS uuid))
        AND (CAST(:only AS uuid) IS NULL OR c.id = CAST(:only AS uuid))
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
    WHERE s.contact_id = contact.id AND s.crm = :crm AND {has_time}
)
SELECT id FROM contact
