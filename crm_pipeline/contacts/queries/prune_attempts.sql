-- One stretch of the journal, by id: what is older than :days days goes. Rows that are still needed stay: pending ones, and those
-- that name an address left behind at the CRM. What others have locked is skipped, so that nobody waits for this in a circle.
WITH stretch AS MATERIALIZED (
    SELECT a.id, a.started_at < now() - make_interval(days => :days) AS is_old
    FROM crm_attempts a
    WHERE a.id > :after
    ORDER BY a.id
    LIMIT :limit
), old AS MATERIALIZED (
    SELECT a.id
    FROM stretch s
    JOIN crm_attempts a ON a.id = s.id
    WHERE s.is_old AND a.left_behind IS NULL AND a.applied <> 'pending'
    ORDER BY a.id
    FOR UPDATE OF a SKIP LOCKED
), gone AS (
    DELETE FROM crm_attempts a USING old WHERE a.id = old.id RETURNING a.id
)
SELECT max(s.id) AS last, count(*) FILTER (WHERE s.is_old) AS old, (SELECT count(*) FROM gone) AS gone
FROM stretch s
