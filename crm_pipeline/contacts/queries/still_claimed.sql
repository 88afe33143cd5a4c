-- What is still under this lease, not journalled, and written by nobody meanwhile: a repeated step goes on with it.
-- Edited since the claim, it sends other data than were claimed, and both may arrive: without its claimed fingerprint it is
-- queued again at its end, also when the edit was undone meanwhile.
-- One that somebody is writing at this moment counts as edited: waiting for him would hold up all claims.
WITH held AS MATERIALIZED (
    SELECT s.contact_id, s.claimed_fingerprint, s.retry_count, s.leased_until, s.crashes
    FROM crm_sync s
    WHERE (s.crm = :crm) IS TRUE AND s.lease_id = CAST(:lease_id AS uuid)  -- plain, the index of all leases may be read
), unchanged AS MATERIALIZED (  -- contacts are locked before crm_sync, as everybody does
    SELECT c.id
    FROM held
    JOIN contacts c ON c.id = held.contact_id
    WHERE held.claimed_fingerprint = {fingerprint}
    ORDER BY c.id
    FOR NO KEY UPDATE OF c SKIP LOCKED
), edited AS (
    UPDATE crm_sync s SET claimed_fingerprint = NULL
    WHERE s.contact_id = ANY(ARRAY(SELECT held.contact_id FROM held)) AND s.crm = :crm
        AND s.contact_id <> ALL(ARRAY(SELECT unchanged.id FROM unchanged))
        AND (s.lease_id = CAST(:lease_id AS uuid)) IS TRUE
)
SELECT c.id, coalesce(c.email, '')::text AS email, c.name, c.phone_number, c.email_type::text AS email_type,
    c.has_gmail, c.source_url, c.domain_id, c.page_id, c.{external_id} AS external_id,
    {further} AS further, {former_address_in_use} AS former_address_in_use,
    CASE WHEN held.crashes > 0 THEN {tried_address} END AS tried_address, held.retry_count + 1 AS attempt,
    extract(epoch FROM held.leased_until - clock_timestamp())::double precision AS seconds_left
FROM held
JOIN contacts c ON c.id = held.contact_id
WHERE {in_flight}
    AND NOT EXISTS (
        SELECT FROM crm_attempts a WHERE a.lease_id = CAST(:lease_id AS uuid) AND a.contact_id = held.contact_id
    )
ORDER BY c.id
