-- Leases of answers that were journalled after their lease had been taken away, by a worker that then died.
SELECT DISTINCT a.lease_id
FROM crm_attempts a
JOIN crm_sync s ON s.contact_id = a.contact_id AND s.crm = a.crm
WHERE a.crm = :crm AND a.applied = 'pending' AND s.lease_id IS DISTINCT FROM a.lease_id
LIMIT 100
