-- Contacts whose last push failed, in the order of their ids, each call going on behind the last. Scans the table.
WITH failed AS MATERIALIZED (  -- a walk along the ids in their order would fetch the whole table, row by row
    SELECT c.id FROM contacts c
    WHERE {chosen} AND (CAST(:after AS uuid) IS NULL OR c.id > CAST(:after AS uuid))
), page AS MATERIALIZED (
    SELECT id FROM failed ORDER BY id LIMIT :limit
)
SELECT c.id, coalesce(c.email, '')::text AS email, {waiting} AS waiting, c.{error} AS error,
    coalesce(s.retry_count, 0) AS retry_count,
    coalesce(s.next_retry_at, CASE WHEN c.last_failed_crm = :crm THEN c.next_retry_at END) AS next_retry_at
FROM page
JOIN contacts c ON c.id = page.id
{mechanics}
ORDER BY c.id
