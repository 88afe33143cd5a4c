-- any -> Selected/Queued. A person wants these contacts in the CRM. During a push it only writes the statuses:
-- the write-back sees them and leaves them.
UPDATE contacts c
SET {sync_status} = 'Selected', {processing_status} = 'Queued', {error} = NULL
WHERE c.id = ANY(CAST(:ids AS uuid[]))
RETURNING c.id
