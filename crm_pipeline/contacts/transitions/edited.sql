-- Edited while in flight (its fingerprint is not the claimed one): Processing/Processing -> Selected/Queued.
-- A fenced success of a former lease has cleared the claimed fingerprint: then, too, it is pushed again.
WITH own AS MATERIALIZED (
    SELECT a.id, a.contact_id, a.outcome, a.external_id, a.target
    FROM crm_attempts a
    JOIN crm_sync s ON {owner}
    JOIN contacts c ON c.id = a.contact_id
    WHERE a.id = ANY(CAST(:attempts AS bigint[])) AND a.applied = 'pending'
        AND {in_flight}
        AND s.claimed_fingerprint IS DISTINCT FROM {fingerprint}
), contact AS (
    UPDATE contacts c
    SET {sync_status} = 'Selected', {processing_status} = 'Queued', {error} = NULL,
        {external_id} = CASE WHEN own.outcome IN ('synced', 'failed') THEN coalesce(own.external_id, c.{external_id}) ELSE c.{external_id} END,
        retry_count = CASE WHEN c.last_failed_crm = :crm THEN 0 ELSE c.retry_count END,
        next_retry_at = CASE WHEN c.last_failed_crm = :crm THEN NULL ELSE c.next_retry_at END
    FROM own
    WHERE c.id = own.contact_id
), sync AS (
    UPDATE crm_sync s
    SET retry_count = 0, next_retry_at = NULL, crashes = 0,
        synced_fingerprint = CASE WHEN own.outcome = 'synced' THEN s.claimed_fingerprint ELSE s.synced_fingerprint END,
        synced_at = CASE WHEN own.outcome = 'synced' THEN now() ELSE s.synced_at END,
        target = CASE WHEN own.outcome = 'synced' THEN own.target ELSE s.target END,
        {release_lease}
    FROM own
    WHERE s.contact_id = own.contact_id AND s.crm = :crm
)
UPDATE crm_attempts a
SET applied = 'overruled', note = concat_ws('; ', a.note, 'edited during the push: queued again')
FROM own WHERE a.id = own.id RETURNING a.contact_id
