-- A contact was refused for what may be the account's fault. The twentieth in a row for one and the same reason, over all runs
-- and processes, closes the gate for cause, 30 s at first, and so does each one after it, twice as long, at most 15 minutes.
-- Several threads meet it at once: only the first of them makes the pause longer. The CRM answered: a row of failures ends.
UPDATE crm_gate
SET refusal = :refusal, failures_in_a_row = 0,
    (refused_in_a_row, pauses_in_a_row, paused_until, cause, cause_kind, checked_at) = (
        SELECT n,
            CASE WHEN closes THEN pauses_in_a_row + 1 WHEN n >= :threshold OR paused THEN pauses_in_a_row ELSE 0 END,
            CASE
                WHEN closes THEN greatest(
                    paused_until,
                    clock_timestamp()
                        + least(:first_seconds * power(2, least(pauses_in_a_row, 10)) * :jitter, :longest_seconds) * interval '1 second'
                )
                WHEN paused THEN paused_until
            END,
            CASE WHEN closes THEN :sentence WHEN paused THEN cause END,
            CASE WHEN closes THEN 'closed' WHEN paused THEN cause_kind END,
            CASE WHEN NOT closes THEN checked_at END
        FROM (
            SELECT n, paused, n >= :threshold AND NOT (paused AND cause_kind = 'closed') AS closes
            FROM (
                SELECT CASE WHEN refusal = :refusal THEN refused_in_a_row ELSE 0 END + :contacts AS n,
                    coalesce(paused_until > clock_timestamp(), false) AS paused
            ) AS counted
        ) AS decision
    )
WHERE crm = :crm
RETURNING refused_in_a_row
