-- Locks the contacts under a lease that is over, in the one order of all locks: contacts, crm_sync. What others have locked is skipped.
WITH contact AS MATERIALIZED (
    SELECT c.id
    FROM crm_sync s
    JOIN contacts c ON c.id = s.contact_id
    WHERE s.crm = :crm AND s.lease_id IS NOT NULL AND s.leased_until < clock_timestamp()
    ORDER BY c.id
    LIMIT :limit
    FOR NO KEY UPDATE OF c SKIP LOCKED
)
SELECT s.contact_id, s.lease_id
FROM contact
JOIN crm_sync s ON s.contact_id = contact.id AND s.crm = :crm
-- (No "lease_id IS NOT NULL" here: the planner would read all leases for each contact.)
WHERE s.leased_until < clock_timestamp()
ORDER BY s.contact_id
FOR NO KEY UPDATE OF s SKIP LOCKED
