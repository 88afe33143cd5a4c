-- The push failed and retries are left: Processing/Processing -> Queued/Error, until the backoff (5, 10, 20 minutes) is over.
-- The answer may be lost and the push have landed: the journal then has the id that the contact may have at the CRM.
WITH own AS MATERIALIZED (
    SELECT a.id, a.contact_id, a.error, a.external_id, s.retry_count
    FROM crm_attempts a
    JOIN crm_sync s ON {owner}
    JOIN contacts c ON c.id = a.contact_id
    WHERE a.id = ANY(CAST(:attempts AS bigint[])) AND a.applied = 'pending' AND a.outcome = 'failed'
        AND {in_flight}
        AND s.retry_count < :max_retries
), contact AS (
    UPDATE contacts c
    SET {sync_status} = 'Queued', {processing_status} = 'Error', {error} = left(own.error, {error_length}),
        {external_id} = coalesce(own.external_id, c.{external_id}),
        retry_count = own.retry_count + 1, last_retry_at = now(), last_failed_crm = :crm,
        next_retry_at = now() + make_interval(mins => 1) * :delay_minutes * power(:delay_factor, own.retry_count)
    FROM own
    WHERE c.id = own.contact_id
), sync AS (
    UPDATE crm_sync s
    SET retry_count = own.retry_count + 1, crashes = 0,
        next_retry_at = now() + make_interval(mins => 1) * :delay_minutes * power(:delay_factor, own.retry_count),
        {release_lease}
    FROM own
    WHERE s.contact_id = own.contact_id AND s.crm = :crm
)
UPDATE crm_attempts a SET applied = 'applied' FROM own WHERE a.id = own.id RETURNING a.contact_id
