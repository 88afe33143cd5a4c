-- How many contacts have each pair of statuses? Scans the table: for people.
SELECT c.{sync_status}::text AS sync_status, c.{processing_status}::text AS processing_status, count(*) AS contacts
FROM contacts c
GROUP BY 1, 2
ORDER BY 1, 2
