-- any -> Selected/Queued: a person wants these contacts in the CRM.
-- During a push it only writes the statuses: the write-back sees them and leaves them. Locked by id, as everybody locks.
-- Of many that were listed before, only those are taken that are still what was chosen.
WITH picked AS MATERIALIZED (
    SELECT c.id FROM contacts c WHERE c.id = ANY(CAST(:ids AS uuid[])) AND {selectable} ORDER BY c.id FOR NO KEY UPDATE
)
UPDATE contacts c
SET {sync_status} = 'Selected', {processing_status} = 'Queued', {error} = NULL
FROM picked
WHERE c.id = picked.id
