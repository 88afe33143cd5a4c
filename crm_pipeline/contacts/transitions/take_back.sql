-- Left behind, without a lease: Processing/any -> Queued/Queued; any other wanted status/Processing -> same/Queued.
-- The ids come from a scan that locks nothing (no index serves it: one on Processing would mislead the planner).
-- The caller holds the CRM's claim lock: a claim between snapshot and update would be taken for left behind.
WITH picked AS MATERIALIZED (
    SELECT c.id, c.{sync_status} AS sync_status
    FROM unnest(CAST(:ids AS uuid[])) AS seen (id)
    JOIN contacts c ON c.id = seen.id
    WHERE {left_behind}
    ORDER BY c.id
    FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE contacts c
SET {sync_status} = CASE WHEN picked.sync_status = 'Processing' THEN 'Queued' ELSE picked.sync_status END,
    {processing_status} = 'Queued'
FROM picked
WHERE c.id = picked.id
RETURNING c.id
