-- How many chosen contacts created between two moments have each pair of statuses?
SELECT c.{sync_status}::text AS sync_status, c.{processing_status}::text AS processing_status, count(*) AS contacts
FROM contacts c
WHERE c.created_at >= CAST(:start AS timestamptz) AND c.created_at < CAST(:end AS timestamptz) AND {chosen}
GROUP BY 1, 2
ORDER BY 1, 2
