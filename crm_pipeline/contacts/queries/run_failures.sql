SELECT a.contact_id, c.email::text AS email, a.outcome, c.{error} AS error, s.retry_count, s.next_retry_at,
    c.{sync_status}::text = 'Error' AS given_up,
    count(*) OVER () AS total,
    count(*) FILTER (WHERE c.{sync_status}::text = 'Error') OVER () AS total_given_up
FROM crm_attempts a
JOIN contacts c ON c.id = a.contact_id
JOIN crm_sync s ON s.contact_id = a.contact_id AND s.crm = a.crm
WHERE a.run_id = :run_id AND a.crm = :crm AND a.applied = 'applied' AND a.outcome IN ('failed', 'blocked', 'rejected')
ORDER BY given_up DESC, s.next_retry_at, a.id
LIMIT :limit
