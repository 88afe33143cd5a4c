-- The application's table refuses what this answer says (a constraint, a trigger), although it takes such answers of others, from
-- the same batch or later ones: it counts as rejected. What was answered stays in the note.
-- Without such others it may be the table that must be mended, and the answer waits. A late answer waits too: it has others to queue.
UPDATE crm_attempts a
SET outcome = 'rejected', error = left(:reason, 500), note = concat_ws('; ', a.note, format('was %s%s', a.outcome, ': ' || a.error))
FROM crm_sync s
WHERE a.id = CAST(:attempt AS bigint) AND {owner}
    AND (
        EXISTS (
            SELECT FROM crm_attempts other
            WHERE other.lease_id = a.lease_id AND other.contact_id <> a.contact_id
                AND other.applied = 'applied' AND other.outcome = a.outcome
        )
        OR EXISTS (
            SELECT FROM crm_attempts other
            WHERE other.id > a.id AND other.crm = a.crm AND other.contact_id <> a.contact_id
                AND other.applied = 'applied' AND other.outcome = a.outcome
        )
    )
RETURNING a.outcome
