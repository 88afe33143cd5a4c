-- Locks the contacts whose answers are about to be written back, in the one order of all locks: contacts, crm_sync.
-- What others have locked is skipped and stays pending. The statements that follow have younger snapshots than these locks.
WITH answer AS MATERIALIZED (
    SELECT a.id, a.contact_id, a.outcome
    FROM crm_attempts a
    WHERE a.lease_id = CAST(:lease_id AS uuid) AND a.crm = :crm AND a.applied = 'pending'
), contact AS MATERIALIZED (
    SELECT c.id
    FROM contacts c
    WHERE c.id IN (SELECT answer.contact_id FROM answer)
    ORDER BY c.id
    FOR NO KEY UPDATE OF c SKIP LOCKED
)
SELECT answer.id, answer.contact_id, answer.outcome, (SELECT count(*) FROM answer) AS pending
FROM contact
JOIN answer ON answer.contact_id = contact.id
JOIN crm_sync s ON s.contact_id = contact.id AND s.crm = :crm
ORDER BY s.contact_id
FOR NO KEY UPDATE OF s SKIP LOCKED
