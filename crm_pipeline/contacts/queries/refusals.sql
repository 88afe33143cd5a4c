-- How the pushes of the last 24 hours ended, as far as they were the contacts' own.
SELECT count(*) AS attempts, count(*) FILTER (WHERE a.outcome IN ('failed', 'rejected')) AS refused
FROM crm_attempts a
WHERE a.crm = :crm AND a.started_at > now() - interval '24 hours' AND a.outcome IN ('synced', 'failed', 'rejected')
