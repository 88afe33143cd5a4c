-- check() has passed: the account is usable, whatever closed the gate before. A throttling CRM's pause still holds.
-- A suspicion outlives it, for the check had passed before those contacts were refused too: a person who asks ends it.
UPDATE crm_gate
SET checked_at = clock_timestamp(),
    cause = CASE WHEN cause_kind = 'throttled' THEN cause END,
    paused_until = CASE WHEN cause_kind = 'throttled' THEN paused_until END,
    cause_kind = CASE WHEN cause_kind = 'throttled' THEN cause_kind END,
    suspicion = CASE WHEN :by_hand THEN NULL ELSE suspicion END
WHERE crm = :crm
