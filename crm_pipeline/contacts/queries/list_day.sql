-- Chosen contacts created between two moments, oldest first, each call going on behind the last. Takes no lock.
-- An index on created_at may not exist: then each call scans the table, so that it lists many at once.
WITH day AS MATERIALIZED (
    SELECT c.id, c.created_at, {email_key} AS email_key, {former_key} AS former_key, c.{error} IS NOT NULL AS has_error
    FROM contacts c
    WHERE c.created_at >= CAST(:start AS timestamptz) AND c.created_at < CAST(:end AS timestamptz)
        AND {chosen}
        AND (CAST(:after_id AS uuid) IS NULL
            OR (c.created_at, c.id) > (CAST(:after_time AS timestamptz), CAST(:after_id AS uuid)))
    ORDER BY c.created_at, c.id
    LIMIT :limit
)
SELECT c.id, c.created_at, c.email_key, c.former_key, coalesce(s.crashes, 0) AS crashes, c.has_error
FROM day c
{mechanics}
ORDER BY c.created_at, c.id
