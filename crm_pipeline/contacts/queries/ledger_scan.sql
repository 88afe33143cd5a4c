-- What no other query finds by an index: pairs without a next step, and Processing statuses without a lease. Scans the table.
SELECT c.id,
    CASE
    WHEN NOT ({known}) THEN 'unknown'
    WHEN {unclear} THEN 'unclear'
    WHEN c.{sync_status} IN ('New', 'Skipped') THEN 'half wanted'
    ELSE 'left behind'
    END AS state
FROM contacts c
WHERE NOT ({known})
    OR {unclear}
    OR c.{sync_status} IN ('New', 'Skipped') AND c.{processing_status} = 'Queued'
    OR {left_behind}
LIMIT :limit
