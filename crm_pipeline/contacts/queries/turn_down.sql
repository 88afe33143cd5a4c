-- The application's table refuses what this answer says (a constraint, a trigger): it counts as rejected. What the CRM answered
-- stays in the note.
UPDATE crm_attempts a
SET outcome = 'rejected', error = left(:reason, 500), external_id = NULL,
    note = concat_ws('; ', a.note, format('%s at the CRM%s', a.outcome, ': ' || a.error))
WHERE a.id = CAST(:attempt AS bigint)
RETURNING a.outcome
