-- Would a run find anything to do now? Due, promotable, or under a lease that is over.
SELECT
    EXISTS (
        SELECT FROM contacts c
        {mechanics}
        WHERE {due} AND s.lease_id IS NULL
            AND {not_refused}
            AND {no_twin_in_flight}
    ) AS queued,
    EXISTS (
        SELECT FROM contacts c
        {mechanics}
        WHERE {promotable}
    ) AS backoff_over,
    EXISTS (
        SELECT FROM crm_sync s WHERE s.crm = :crm AND s.lease_id IS NOT NULL AND s.leased_until < clock_timestamp()
    ) AS lease_over
