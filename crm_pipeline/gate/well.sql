-- A good answer ends a row of failures; it does not lift a pause that another process has met.
UPDATE crm_gate
SET failures_in_a_row = 0, pauses_in_a_row = 0,
    cause = CASE WHEN paused_until > clock_timestamp() THEN cause END,
    cause_kind = CASE WHEN paused_until > clock_timestamp() THEN cause_kind END,
    paused_until = CASE WHEN paused_until > clock_timestamp() THEN paused_until END
WHERE crm = :crm
RETURNING failures_in_a_row
