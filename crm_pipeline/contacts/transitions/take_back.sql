-- Left behind: a Processing status without a lease.
-- Processing/any -> Queued/Queued; Selected, Queued, Complete, Error with /Processing -> same/Queued.
-- No index serves this scan (one on Processing would mislead the planner), so it runs at most every 5 minutes, or :always.
-- The caller holds the CRM's claim lock: a claim between snapshot and update would be taken for left behind.
WITH turn AS (
    UPDATE crm_gate SET taken_back_at = now()
    WHERE crm = :crm AND (:always OR taken_back_at IS NULL OR taken_back_at < now() - interval '5 minutes')
    RETURNING crm
), picked AS MATERIALIZED (
    SELECT c.id, c.{sync_status} AS sync_status
    FROM contacts c
    WHERE (SELECT count(*) FROM turn) > 0
        AND {left_behind}
    ORDER BY c.id
    FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE contacts c
SET {sync_status} = CASE WHEN picked.sync_status = 'Processing' THEN 'Queued' ELSE picked.sync_status END,
    {processing_status} = 'Queued'
FROM picked
WHERE c.id = picked.id
RETURNING c.id
