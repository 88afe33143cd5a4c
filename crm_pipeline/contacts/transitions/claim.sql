-- due -> Processing/Processing, under a lease.
-- One statement: lease, prior statuses, fingerprint and payload are of one moment.
-- Retries are reset unless the pair was Queued/Queued: a person asked again. For a backfill what a person chose takes the place
-- of what is due, its retries are reset, and one that waited for its retry keeps the time: it may be released.
-- The caller has taken the CRM's claim lock in a statement of its own, so that this snapshot is younger than the last claim.
WITH picked AS MATERIALIZED (  -- else the planner may run it twice and lock more
    SELECT c.id, c.{sync_status}::text AS sync_status, c.{processing_status}::text AS processing_status,
        {email_key} AS email_key, {former_key} AS former_key, {fingerprint} AS fingerprint,
        CASE WHEN c.last_failed_crm = :crm THEN greatest(c.retry_count, 0) ELSE 0 END AS retry_count
    FROM unnest(CAST(:ids AS uuid[])) AS listed (id)
    JOIN contacts c ON c.id = listed.id
    {mechanics}
    WHERE coalesce({claimable}, false)  -- plain, it would invite the planner to read the whole index of what is due
        AND s.lease_id IS NULL
        AND {not_refused}
        AND (coalesce(s.crashes, 0) < :alone_at OR :is_alone)
        AND {no_twin_in_flight}
    ORDER BY c.id
    FOR NO KEY UPDATE OF c SKIP LOCKED  -- FOR UPDATE would wait for every foreign key that points here
), one_per_address AS (
    -- Nor is one claimed together with whoever has its former address today: the first goes first, the other later.
    SELECT DISTINCT ON (coalesce(email_key, id::text)) * FROM picked
    WHERE (email_key IN (SELECT former_key FROM picked)) IS NOT TRUE
            AND (former_key IS NULL OR (former_key IN (SELECT email_key FROM picked)) IS NOT TRUE)
        OR NOT EXISTS (
            SELECT FROM picked other
            WHERE other.id < picked.id AND (other.former_key = picked.email_key OR other.email_key = picked.former_key)
        )
    ORDER BY coalesce(email_key, id::text), id
), leased AS (
    INSERT INTO crm_sync AS s (
        contact_id, crm, retry_count, lease_id, leased_until, run_id,
        prior_sync_status, prior_processing_status, email_key, claimed_fingerprint
    )
    SELECT id, :crm, CASE WHEN sync_status = 'Queued' AND {keeps_retries} THEN retry_count ELSE 0 END,
        CAST(:lease_id AS uuid), clock_timestamp() + make_interval(secs => :lease_seconds), :run_id,
        sync_status, processing_status, email_key, fingerprint
    FROM one_per_address
    ORDER BY id
    ON CONFLICT (contact_id, crm) DO UPDATE
    SET retry_count = CASE WHEN excluded.prior_sync_status = 'Queued' AND {keeps_retries} THEN s.retry_count ELSE 0 END,
        next_retry_at = CASE WHEN excluded.prior_processing_status = 'Error' THEN s.next_retry_at END, refused_until = NULL,
        lease_id = excluded.lease_id, leased_until = excluded.leased_until, run_id = excluded.run_id,
        prior_sync_status = excluded.prior_sync_status, prior_processing_status = excluded.prior_processing_status,
        email_key = excluded.email_key, claimed_fingerprint = excluded.claimed_fingerprint
    WHERE s.lease_id IS NULL
    RETURNING contact_id, retry_count, crashes
)
UPDATE contacts c
SET {sync_status} = 'Processing', {processing_status} = 'Processing'
FROM leased
WHERE c.id = leased.contact_id
RETURNING c.id, coalesce(c.email, '')::text AS email, c.name, c.phone_number, c.email_type::text AS email_type,
    c.has_gmail, c.source_url, c.domain_id, c.page_id, c.{external_id} AS external_id,
    {further} AS further, {former_address_in_use} AS former_address_in_use,
    CASE WHEN leased.crashes > 0 THEN {tried_address} END AS tried_address, leased.retry_count + 1 AS attempt,
    CAST(:lease_seconds AS double precision) AS seconds_left
