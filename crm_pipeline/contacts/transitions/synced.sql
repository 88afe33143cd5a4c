-- The CRM took it: Processing/Processing -> Complete/Complete.
WITH own AS MATERIALIZED (
    SELECT a.id, a.contact_id, a.external_id, a.target
    FROM crm_attempts a
    JOIN crm_sync s ON {owner}
    JOIN contacts c ON c.id = a.contact_id
    WHERE a.id = ANY(CAST(:attempts AS bigint[])) AND a.applied = 'pending' AND a.outcome = 'synced'
        AND {in_flight}
), contact AS (
    UPDATE contacts c
    SET {sync_status} = 'Complete', {processing_status} = 'Complete', {error} = NULL,
        {external_id} = coalesce(own.external_id, c.{external_id}),
        retry_count = CASE WHEN coalesce(c.last_failed_crm, :crm) = :crm THEN 0 ELSE c.retry_count END,
        last_retry_at = CASE WHEN c.last_failed_crm = :crm THEN NULL ELSE c.last_retry_at END,
        next_retry_at = CASE WHEN c.last_failed_crm = :crm THEN NULL ELSE c.next_retry_at END,
        last_failed_crm = nullif(c.last_failed_crm, :crm)
    FROM own
    WHERE c.id = own.contact_id
), sync AS (
    UPDATE crm_sync s
    SET retry_count = 0, next_retry_at = NULL, crashes = 0,
        synced_fingerprint = s.claimed_fingerprint, synced_at = now(), target = own.target,
        {release_lease}
    FROM own
    WHERE s.contact_id = own.contact_id AND s.crm = :crm
)
UPDATE crm_attempts a SET applied = 'applied' FROM own WHERE a.id = own.id RETURNING a.contact_id
