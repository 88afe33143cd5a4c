-- check() has passed: the account is usable, and what closed the gate before it was asked is over. The rest of a pause that the
-- CRM asked for stays, also when the gate was closed since (raised_at is its end until a minute after it); so does a closing
-- that another process has met meanwhile: its pause is not the one that was seen.
-- Refusals in a row outlive it, for the check had passed before those contacts were refused too: a person who asks ends them.
UPDATE crm_gate
SET (checked_at, cause, cause_kind, paused_until) = (
        SELECT CASE WHEN opens OR cause_kind IS DISTINCT FROM 'closed' THEN clock_timestamp() ELSE checked_at END,
            CASE WHEN NOT opens THEN cause WHEN throttled THEN :sentence END,
            CASE WHEN NOT opens THEN cause_kind WHEN throttled THEN 'throttled' END,
            CASE WHEN NOT opens THEN paused_until WHEN throttled THEN raised_at END
        FROM (
            SELECT cause_kind IS DISTINCT FROM 'throttled' AND paused_until IS NOT DISTINCT FROM CAST(:seen AS timestamptz) AS opens,
                coalesce(raised_at > clock_timestamp() AND raised_at <= paused_until, false) AS throttled
        ) AS decision
    ),
    refused_in_a_row = CASE WHEN :by_hand THEN 0 ELSE refused_in_a_row END
WHERE crm = :crm
