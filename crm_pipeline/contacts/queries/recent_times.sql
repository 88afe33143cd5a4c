-- How long the CRM took to answer the pushes of the last minutes: a value for each share; an index by time serves it.
SELECT percentile_cont(CAST(:shares AS double precision[])) WITHIN GROUP (ORDER BY a.duration_ms) AS times_ms
FROM crm_attempts a
WHERE a.crm = :crm AND a.started_at > now() - make_interval(mins => :minutes) AND a.http_status IS NOT NULL
