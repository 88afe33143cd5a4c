-- A person wrote a status while the contact was in flight: it is left as written, and the lease ends.
-- What the CRM got, or may have got, is recorded.
WITH own AS MATERIALIZED (
    SELECT a.id, a.contact_id, a.outcome, a.external_id, a.target
    FROM crm_attempts a
    JOIN crm_sync s ON {owner}
    JOIN contacts c ON c.id = a.contact_id
    WHERE a.id = ANY(CAST(:attempts AS bigint[])) AND a.applied = 'pending' AND ({in_flight}) IS NOT TRUE
), contact AS (
    UPDATE contacts c SET {external_id} = own.external_id
    FROM own
    WHERE c.id = own.contact_id AND own.outcome IN ('synced', 'failed') AND own.external_id IS NOT NULL
), sync AS (
    UPDATE crm_sync s
    SET crashes = 0,
        synced_fingerprint = CASE WHEN own.outcome = 'synced' THEN s.claimed_fingerprint ELSE s.synced_fingerprint END,
        synced_at = CASE WHEN own.outcome = 'synced' THEN now() ELSE s.synced_at END,
        target = CASE WHEN own.outcome = 'synced' THEN own.target ELSE s.target END,
        {release_lease}
    FROM own
    WHERE s.contact_id = own.contact_id AND s.crm = :crm
)
UPDATE crm_attempts a SET applied = 'overruled' FROM own WHERE a.id = own.id RETURNING a.contact_id
