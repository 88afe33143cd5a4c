-- A good answer ends a row of failures and a suspicion. It does not lift a pause that another process has met, nor end
-- the suspicion behind it: its request was sent before.
UPDATE crm_gate
SET failures_in_a_row = 0, pauses_in_a_row = 0,
    cause = CASE WHEN paused_until > clock_timestamp() THEN cause END,
    cause_kind = CASE WHEN paused_until > clock_timestamp() THEN cause_kind END,
    suspicion = CASE WHEN cause_kind = 'closed' AND paused_until > clock_timestamp() THEN suspicion END,
    paused_until = CASE WHEN paused_until > clock_timestamp() THEN paused_until END
WHERE crm = :crm
RETURNING failures_in_a_row
