-- What the last run that pushed did, so far as it has pushed. The journal is read from its end, and not further than :newest.
WITH last AS MATERIALIZED (
    SELECT newest.run_id
    FROM (SELECT id, crm, run_id FROM crm_attempts ORDER BY id DESC LIMIT :newest) newest
    WHERE newest.crm = :crm AND newest.run_id IS NOT NULL
    ORDER BY newest.id DESC
    LIMIT 1
)
SELECT a.run_id, a.outcome, count(*) AS pushes, min(a.started_at) AS first_at, max(a.started_at) AS last_at,
    extract(epoch FROM now() - max(a.started_at))::double precision AS seconds_ago
FROM crm_attempts a
WHERE a.run_id = (SELECT last.run_id FROM last) AND a.crm = :crm
GROUP BY a.run_id, a.outcome
ORDER BY a.outcome
