-- What the ledger remembers, longest first.
SELECT l.contact_id, l.state, l.since, extract(epoch FROM now() - l.since)::double precision AS seconds,
    c.email::text AS email, c.{sync_status}::text AS sync_status, c.{processing_status}::text AS processing_status
FROM crm_ledger l
JOIN contacts c ON c.id = l.contact_id
WHERE l.crm = :crm
ORDER BY l.since, l.contact_id
