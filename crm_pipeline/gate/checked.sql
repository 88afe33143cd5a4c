-- check() has passed: the account is usable, whatever closed the gate before it was asked. A throttling CRM's pause still holds,
-- and so does a closing that another process has met meanwhile: its pause is not the one that was seen.
-- Refusals in a row outlive it, for the check had passed before those contacts were refused too: a person who asks ends them.
UPDATE crm_gate
SET (checked_at, cause, cause_kind, paused_until) = (
        SELECT CASE WHEN opens OR cause_kind IS DISTINCT FROM 'closed' THEN clock_timestamp() ELSE checked_at END,
            CASE WHEN NOT opens THEN cause END,
            CASE WHEN NOT opens THEN cause_kind END,
            CASE WHEN NOT opens THEN paused_until END
        FROM (SELECT cause_kind IS DISTINCT FROM 'throttled' AND (:whatever OR paused_until IS NOT DISTINCT FROM CAST(:seen AS timestamptz)) AS opens) AS decision
    ),
    refused_in_a_row = CASE WHEN :by_hand THEN 0 ELSE refused_in_a_row END
WHERE crm = :crm
