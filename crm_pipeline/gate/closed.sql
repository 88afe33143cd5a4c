-- The account's fault closes the gate for cause, 30 s at first, twice as long each time, at most 15 minutes.
-- Several threads meet it at once: only the first of them makes the pause longer.
UPDATE crm_gate
SET paused_until = CASE
        WHEN cause_kind = 'closed' AND paused_until > clock_timestamp() THEN paused_until
        ELSE greatest(
            paused_until,  -- the CRM may have asked for more
            clock_timestamp() + {growing_seconds} * interval '1 second'
        )
    END,
    pauses_in_a_row = CASE
        WHEN cause_kind = 'closed' AND paused_until > clock_timestamp() THEN pauses_in_a_row ELSE pauses_in_a_row + 1
    END,
    cause = :sentence,
    cause_kind = 'closed',
    checked_at = NULL
WHERE crm = :crm
RETURNING failures_in_a_row
