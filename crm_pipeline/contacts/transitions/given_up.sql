-- The push failed and no retry is left: Processing/Processing -> Error/Error, until a person asks again.
WITH own AS MATERIALIZED (
    SELECT a.id, a.contact_id, a.error, a.external_id, s.retry_count
    FROM crm_attempts a
    JOIN crm_sync s ON {owner}
    JOIN contacts c ON c.id = a.contact_id
    WHERE a.id = ANY(CAST(:attempts AS bigint[])) AND a.applied = 'pending' AND a.outcome = 'failed'
        AND {in_flight}
        AND s.retry_count >= :max_retries
), contact AS (
    UPDATE contacts c
    SET {sync_status} = 'Error', {processing_status} = 'Error',
        {error} = left(format('Max retries exceeded (%s). Last error: %s', own.retry_count, own.error), {error_length}),
        {external_id} = coalesce(own.external_id, c.{external_id}),
        retry_count = own.retry_count, last_retry_at = now(), last_failed_crm = :crm, next_retry_at = NULL
    FROM own
    WHERE c.id = own.contact_id
), sync AS (
    UPDATE crm_sync s
    SET next_retry_at = NULL, crashes = 0,
        {release_lease}
    FROM own
    WHERE s.contact_id = own.contact_id AND s.crm = :crm
)
UPDATE crm_attempts a SET applied = 'applied' FROM own WHERE a.id = own.id RETURNING a.contact_id
