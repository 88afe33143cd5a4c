-- check() has passed: the account is usable, whatever closed the gate before. A throttling CRM's pause still holds.
UPDATE crm_gate
SET checked_at = clock_timestamp(),
    cause = CASE WHEN cause_kind = 'throttled' THEN cause END,
    paused_until = CASE WHEN cause_kind = 'throttled' THEN paused_until END,
    cause_kind = CASE WHEN cause_kind = 'throttled' THEN cause_kind END
WHERE crm = :crm
