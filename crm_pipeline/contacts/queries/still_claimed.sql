-- What is still under this lease, not journalled, and written by nobody meanwhile: a repeated step goes on with it.
-- Edited since the claim, it sends other data than were claimed, and both may arrive: without its claimed fingerprint it is
-- queued again at its end, also when the edit was undone meanwhile.
WITH edited AS (
    UPDATE crm_sync s SET claimed_fingerprint = NULL
    FROM contacts c
    WHERE c.id = s.contact_id AND s.crm = :crm AND s.lease_id = CAST(:lease_id AS uuid)
        AND s.claimed_fingerprint IS DISTINCT FROM {fingerprint}
)
SELECT c.id, coalesce(c.email, '')::text AS email, c.name, c.phone_number, c.email_type::text AS email_type,
    c.has_gmail, c.source_url, c.domain_id, c.page_id, c.{external_id} AS external_id, s.retry_count + 1 AS attempt,
    extract(epoch FROM s.leased_until - clock_timestamp())::double precision AS seconds_left
FROM crm_sync s
JOIN contacts c ON c.id = s.contact_id
WHERE s.crm = :crm AND s.lease_id = CAST(:lease_id AS uuid)
    AND {in_flight}
    AND NOT EXISTS (SELECT FROM crm_attempts a WHERE a.lease_id = s.lease_id AND a.contact_id = s.contact_id)
ORDER BY c.id
