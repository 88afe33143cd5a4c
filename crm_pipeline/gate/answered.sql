-- The CRM answered: a row of failures ends. When it took a contact, a row of refusals ends too; contacts that it refused for
-- what may be the account's fault make that row longer, whatever each was refused for: none of them shows that it takes any.
-- No answer lifts a pause that another process has met, nor ends the refusals behind it: its request was sent before.
-- An acceptance is dated when its request began: only what began after a refusal shows that the CRM takes contacts since.
UPDATE crm_gate
SET failures_in_a_row = 0,
    pauses_in_a_row = CASE WHEN :accepted OR refused_in_a_row < :threshold THEN 0 ELSE pauses_in_a_row END,
    cause = CASE WHEN paused_until > clock_timestamp() THEN cause END,
    cause_kind = CASE WHEN paused_until > clock_timestamp() THEN cause_kind END,
    refused_in_a_row = CASE
        WHEN :accepted AND NOT coalesce(cause_kind = 'closed' AND paused_until > clock_timestamp(), false) THEN 0
        ELSE refused_in_a_row + :refused
    END,
    refused_at = CASE WHEN :refused > 0 THEN clock_timestamp() ELSE refused_at END,
    accepted_at = CASE
        WHEN :accepted THEN greatest(accepted_at, clock_timestamp() - :age_seconds * interval '1 second') ELSE accepted_at
    END,
    paused_until = CASE WHEN paused_until > clock_timestamp() THEN paused_until END
WHERE crm = :crm
RETURNING refused_in_a_row,
    pauses_in_a_row + refused_in_a_row > 0 OR coalesce(accepted_at <= refused_at, refused_at IS NOT NULL) AS trouble
