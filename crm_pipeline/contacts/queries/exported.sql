-- Contacts in the order of their ids, each call going on behind the last.
SELECT c.id, c.email::text AS email, c.name, c.phone_number, c.created_at,
    c.{sync_status}::text AS sync_status, c.{processing_status}::text AS processing_status, c.{error} AS error,
    c.{external_id} AS id_at_crm, coalesce(s.retry_count, 0) AS retry_count,
    coalesce(s.next_retry_at, CASE WHEN c.last_failed_crm = :crm THEN c.next_retry_at END) AS next_retry_at, s.synced_at
FROM contacts c
{mechanics}
WHERE (CAST(:after AS uuid) IS NULL OR c.id > CAST(:after AS uuid))
    AND (cardinality(CAST(:statuses AS text[])) = 0 OR c.{sync_status}::text = ANY(CAST(:statuses AS text[])))
ORDER BY c.id
LIMIT :limit
