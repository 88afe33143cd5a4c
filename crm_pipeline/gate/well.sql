-- A good answer ends a row of failures; one that took a contact ends a row of refusals too. Neither lifts a pause that another
-- process has met, nor ends the refusals behind it: its request was sent before.
UPDATE crm_gate
SET failures_in_a_row = 0,
    pauses_in_a_row = CASE WHEN :accepted OR refused_in_a_row < :threshold THEN 0 ELSE pauses_in_a_row END,
    cause = CASE WHEN paused_until > clock_timestamp() THEN cause END,
    cause_kind = CASE WHEN paused_until > clock_timestamp() THEN cause_kind END,
    refused_in_a_row = CASE
        WHEN :accepted AND NOT coalesce(cause_kind = 'closed' AND paused_until > clock_timestamp(), false) THEN 0
        ELSE refused_in_a_row
    END,
    paused_until = CASE WHEN paused_until > clock_timestamp() THEN paused_until END
WHERE crm = :crm
RETURNING failures_in_a_row
