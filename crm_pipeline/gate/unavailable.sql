-- The tenth failure in a row pauses, 30 s at first, twice as long each time, at most 15 minutes; so does a Retry-After.
UPDATE crm_gate
SET failures_in_a_row = failures_in_a_row + 1,
    refused_at = clock_timestamp(),
    (paused_until, cause, cause_kind, pauses_in_a_row) = (
        SELECT CASE WHEN opens THEN clock_timestamp() + seconds * interval '1 second' ELSE paused_until END,
            CASE WHEN opens THEN :sentence ELSE cause END,
            CASE WHEN opens THEN 'unavailable' ELSE cause_kind END,
            CASE WHEN opens THEN pauses_in_a_row + 1 ELSE pauses_in_a_row END
        FROM (
            SELECT (failures_in_a_row + 1 >= :threshold OR CAST(:seconds AS double precision) IS NOT NULL)
                    AND coalesce(paused_until <= clock_timestamp(), true) AS opens,
                least(coalesce(:seconds, {growing_seconds}), :longest_seconds) AS seconds
        ) AS decision
    )
WHERE crm = :crm
RETURNING failures_in_a_row
