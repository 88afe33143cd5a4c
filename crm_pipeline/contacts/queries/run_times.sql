SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a.duration_ms) AS p50_ms,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY a.duration_ms) AS p95_ms,
    count(*) AS requests,
    extract(epoch FROM max(a.started_at) - min(a.started_at))::double precision AS seconds_of_starts
FROM crm_attempts a
WHERE a.run_id = :run_id AND a.crm = :crm AND a.duration_ms IS NOT NULL AND a.outcome <> 'rejected'
