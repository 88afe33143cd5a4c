-- An answer whose lease is no longer its own. If its push may have landed, Complete or Error -> Queued/Queued; else it is only marked.
-- The late request may have overwritten newer data in the CRM, so the contact is pushed once more, and with it whoever has today
-- the address that it went to, or that it may have been renamed from; one that the CRM was not known to have is looked for there from now on. Under another lease it is that one's end which queues it again: its claimed fingerprint is cleared.
-- While somebody holds one of them locked the answer stays pending: the next reaper tries again.
WITH late AS MATERIALIZED (
    SELECT a.id, a.contact_id, a.external_id, s.lease_id, s.email_key,
        a.outcome = 'synced' OR a.outcome = 'failed' AND coalesce(a.http_status, 0) NOT BETWEEN 400 AND 499 AS may_have_landed
    FROM crm_attempts a
    JOIN crm_sync s ON s.contact_id = a.contact_id AND s.crm = a.crm
    WHERE a.id = ANY(CAST(:attempts AS bigint[])) AND a.applied = 'pending' AND s.lease_id IS DISTINCT FROM a.lease_id
), touched AS MATERIALIZED (
    SELECT late.id, late.contact_id, late.lease_id, late.external_id FROM late WHERE late.may_have_landed
    UNION ALL
    SELECT late.id, other.contact_id, other.lease_id, NULL
    FROM late
    CROSS JOIN LATERAL (
        SELECT late.external_id
        UNION
        SELECT c.{external_id} FROM contacts c WHERE c.id = late.contact_id
        UNION
        SELECT was.external_id FROM crm_attempts was WHERE was.contact_id = late.contact_id AND was.crm = :crm
    ) AS known (address)
    JOIN crm_sync other ON other.crm = :crm AND other.email_key = left(lower(known.address), {longest_key})
    WHERE late.may_have_landed AND position('@' IN known.address) > 0 AND other.contact_id <> late.contact_id
), locked AS MATERIALIZED (
    SELECT c.id FROM contacts c WHERE c.id IN (SELECT touched.contact_id FROM touched) ORDER BY c.id
    FOR NO KEY UPDATE OF c SKIP LOCKED
), later AS MATERIALIZED (
    SELECT touched.id FROM touched WHERE touched.contact_id NOT IN (SELECT locked.id FROM locked)
), again AS (
    UPDATE contacts c
    SET {sync_status} = CASE WHEN {at_rest} THEN 'Queued' ELSE c.{sync_status} END,
        {processing_status} = CASE WHEN {at_rest} THEN 'Queued' ELSE c.{processing_status} END,
        {external_id} = coalesce(c.{external_id}, touched.external_id)
    FROM touched
    WHERE c.id = touched.contact_id AND touched.lease_id IS NULL AND touched.id NOT IN (SELECT later.id FROM later)
        AND ({at_rest} OR c.{external_id} IS NULL AND touched.external_id IS NOT NULL)
), held_by_another AS (
    UPDATE crm_sync s SET claimed_fingerprint = NULL
    FROM touched
    WHERE s.contact_id = touched.contact_id AND s.crm = :crm AND touched.lease_id IS NOT NULL
        AND touched.id NOT IN (SELECT later.id FROM later)
)
UPDATE crm_attempts a
SET applied = 'fenced',
    left_behind = CASE  -- it went to an address that the contact does not have any more
        WHEN late.may_have_landed AND late.email_key <> left(lower(late.external_id), {longest_key}) THEN late.external_id
        ELSE a.left_behind
    END
FROM late
WHERE a.id = late.id AND late.id NOT IN (SELECT later.id FROM later)
RETURNING a.contact_id
