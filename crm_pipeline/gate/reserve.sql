-- GCRA: the next free slot moves on by n times the emission interval. One row lock; the caller waits until its slots.
-- Nothing is reserved while paused, and fewer than n when the hour's quota ends before; a slot that is never used counts.
-- The rate: what is configured, less what 429s have taken off it, never over 96 % of the CRM's own limit (a strict window
-- of a second refuses many requests at the limit itself, for they arrive with some ms of jitter), never under 0.5/s.
-- The clock may step: a slot is never more than a minute away, a pause and the hour never end later than in an hour.
WITH gate AS (
    SELECT * FROM crm_gate WHERE crm = :crm FOR UPDATE
), clock AS (  -- read once the row is locked
    SELECT gate.*, clock_timestamp() AS now FROM gate
), minutes AS (  -- a minute without 429 gives a hundredth of the rate back
    SELECT clock.*, greatest(0, coalesce(floor(extract(epoch FROM now - raised_at) / 60), 0))::double precision AS clean FROM clock
), paced AS (
    SELECT crm, now, clean, rate_per_second, limit_per_second, cause, cause_kind, least(1, pace + 0.01 * clean) AS pace,
        CASE WHEN next_slot_at > now + interval '1 minute' THEN now + interval '30 seconds' ELSE next_slot_at END AS next_slot_at,
        CASE WHEN paused_until > now THEN least(paused_until, now + interval '1 hour') ELSE paused_until END AS paused_until,
        CASE WHEN hour_ends_at > now THEN least(hour_ends_at, now + interval '1 hour') END AS hour_ends_at,
        CASE WHEN hour_ends_at > now THEN hour_used ELSE 0 END AS hour_used,
        requests_per_hour
    FROM minutes
), rated AS (
    SELECT paced.*,
        coalesce(paused_until > now, false) AS paused,
        greatest(least(rate_per_second * pace, 0.96 * limit_per_second), least(0.5, rate_per_second)) AS rate
    FROM paced
), granted AS (
    SELECT rated.*,
        CASE
        -- Many threads at a low rate: who would get a slot later than that asks again, and nobody gets more than 10 s of them
        -- at once. So a slot beyond a minute is a clock's step.
        WHEN paused OR next_slot_at > now + interval '30 seconds' THEN 0
        ELSE greatest(0, least(:n, greatest(1, floor(10 * rate))::integer, requests_per_hour - hour_used))
        END AS n,
        NOT paused AND coalesce(hour_used >= requests_per_hour, false) AS used_up,
        -- Well below the limit one late slot may be caught up with: the moments between two batches would be lost.
        greatest(next_slot_at, now - CASE
            WHEN pace = 1 AND rate + 2 <= limit_per_second THEN least(1 / rate, 0.25) ELSE 0
            END * interval '1 second') AS first_slot_at
    FROM rated
)
UPDATE crm_gate g
SET next_slot_at = CASE WHEN d.n > 0 THEN d.first_slot_at + d.n * interval '1 second' / d.rate ELSE d.next_slot_at END,
    pace = d.pace,
    raised_at = CASE
        WHEN g.raised_at > d.now + interval '1 hour' THEN d.now + interval '1 hour'
        ELSE g.raised_at + d.clean * interval '1 minute'
        END,
    throttles = CASE WHEN d.clean > 0 THEN 0 ELSE g.throttles END,
    hour_ends_at = CASE WHEN d.n > 0 THEN coalesce(d.hour_ends_at, d.now + interval '1 hour') ELSE d.hour_ends_at END,
    hour_used = d.hour_used + d.n,
    paused_until = CASE WHEN d.used_up THEN d.hour_ends_at ELSE d.paused_until END,
    cause = CASE
        WHEN d.used_up AND d.cause_kind IS DISTINCT FROM 'closed' THEN
            'the hourly quota of ' || d.requests_per_hour || ' requests is used up (' || upper(d.crm) || '_SYNC_REQUESTS_PER_HOUR)'
        ELSE d.cause
        END,
    cause_kind = CASE WHEN d.used_up AND d.cause_kind IS DISTINCT FROM 'closed' THEN 'throttled' ELSE d.cause_kind END
FROM granted d
WHERE g.crm = d.crm
RETURNING
    greatest(extract(epoch FROM g.paused_until - clock_timestamp()), 0)::double precision AS paused_seconds,
    g.cause, g.cause_kind, g.failures_in_a_row + g.pauses_in_a_row + g.refused_in_a_row > 0
        OR coalesce(g.accepted_at <= g.refused_at, g.refused_at IS NOT NULL) AS trouble,
    d.n AS granted, extract(epoch FROM clock_timestamp())::double precision AS now,
    extract(epoch FROM d.first_slot_at - clock_timestamp())::double precision AS next_seconds,
    d.rate AS rate_per_second, g.limit_per_second, g.throttled_at
