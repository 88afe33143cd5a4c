-- 429 is a fact about the account: a pause for all processes, as long as the CRM asked, at most an hour.
UPDATE crm_gate
SET paused_until = greatest(paused_until, clock_timestamp() + least(:seconds, 3600) * interval '1 second'),
    cause = CASE WHEN cause_kind = 'closed' THEN cause ELSE :sentence END,
    cause_kind = CASE WHEN cause_kind = 'closed' THEN cause_kind ELSE 'throttled' END
WHERE crm = :crm
RETURNING failures_in_a_row
