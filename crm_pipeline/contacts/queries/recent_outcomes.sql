-- How the pushes of the last minutes ended, and how long the CRM took to answer; an index by time serves it.
SELECT a.outcome, count(*) AS pushes
FROM crm_attempts a
WHERE a.crm = :crm AND a.started_at > now() - make_interval(mins => :minutes)
GROUP BY a.outcome
