-- What one run did, from its journal.
SELECT a.outcome, count(*) AS contacts,
    count(*) FILTER (WHERE a.applied IN ('fenced', 'overruled')) AS not_applied
FROM crm_attempts a
WHERE a.run_id = :run_id AND a.crm = :crm
GROUP BY a.outcome
