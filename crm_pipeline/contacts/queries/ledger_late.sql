-- Whose next step should have been taken: the first wishes, waits past their time, leases past their end; and those that the
-- application's table refused. By indexes.
(
    SELECT c.id, 'wish' AS state
    FROM contacts c
    {mechanics}
    WHERE {wish} AND s.lease_id IS NULL
    ORDER BY c.id
    LIMIT :limit
) UNION ALL (
    SELECT c.id, 'overdue' AS state
    FROM crm_sync s
    JOIN contacts c ON c.id = s.contact_id
    WHERE s.crm = :crm AND s.next_retry_at < now() AND s.lease_id IS NULL AND {waiting}
    ORDER BY s.next_retry_at
    LIMIT :limit
) UNION ALL (
    SELECT s.contact_id AS id, 'lease over' AS state
    FROM crm_sync s
    WHERE s.crm = :crm AND s.lease_id IS NOT NULL AND s.leased_until < now()
    LIMIT :limit
) UNION ALL (
    SELECT s.contact_id AS id, 'refused' AS state
    FROM crm_sync s
    JOIN contacts c ON c.id = s.contact_id
    WHERE s.crm = :crm AND s.refused_until IS NOT NULL AND {due}
    LIMIT :limit
)
