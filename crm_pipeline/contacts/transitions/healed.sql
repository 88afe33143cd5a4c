-- A pair that no event makes, of a contact that somebody wants: Complete/Error -> Selected/Queued.
-- Locked by id, as everybody locks.
WITH picked AS MATERIALIZED (
    SELECT c.id FROM contacts c WHERE c.id = ANY(CAST(:ids AS uuid[])) AND {unclear} ORDER BY c.id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE contacts c
SET {sync_status} = 'Selected', {processing_status} = 'Queued', {error} = NULL
FROM picked
WHERE c.id = picked.id
RETURNING c.id
