-- How many are being pushed, whose lease or wait is over, when the next wait is, and who of the last day's pushes was given up.
-- By indexes: leases, retries' times, the journal's times; a contact that these name is looked up by its id.
WITH lately AS MATERIALIZED (
    SELECT DISTINCT a.contact_id
    FROM crm_attempts a
    WHERE a.crm = :crm AND a.started_at > now() - make_interval(hours => :hours)
        AND a.outcome IN ('failed', 'rejected', 'released')
)
SELECT leases.held, leases.over,
    (
        SELECT min(s.next_retry_at) FROM crm_sync s
        WHERE s.crm = :crm AND s.next_retry_at IS NOT NULL AND s.next_retry_at > now()
    ) AS next_retry_at,
    (
        SELECT count(*)
        FROM (
            SELECT s.contact_id FROM crm_sync s
            WHERE s.crm = :crm AND s.next_retry_at IS NOT NULL AND s.next_retry_at <= now()
        ) past
        CROSS JOIN LATERAL (
            SELECT one.{sync_status}, one.{processing_status} FROM contacts one WHERE one.id = past.contact_id OFFSET 0
        ) c
        WHERE {waiting}
    ) AS retry_over,
    (
        SELECT count(*) FROM lately
        CROSS JOIN LATERAL (
            SELECT one.{sync_status}, one.{processing_status} FROM contacts one WHERE one.id = lately.contact_id OFFSET 0
        ) c
        WHERE {chosen}
    ) AS given_up
FROM (
    SELECT count(*) FILTER (WHERE s.leased_until >= now()) AS held, count(*) FILTER (WHERE s.leased_until < now()) AS over
    FROM crm_sync s
    WHERE s.crm = :crm AND s.lease_id IS NOT NULL
) leases
