-- 429 is a fact about the account: a pause for all processes, as long as the CRM asked, at most an hour.
-- The pause's first 429 makes the pace slower, not each thread's: 3 % less, and 15 % from the third pause without a clean
-- minute between. Halving would go far below what another tool leaves, for a clean minute gives back 1 % only. Simulated
-- over three minutes, with rates of 8 and 10 against a limit of 10 of which another tool takes half, and requests that
-- arrive up to 40 ms late: 15 % uses at least 91 % of what is left; 10 %, whose steps end just above it, 87 %; halving
-- 75 %. Over all shares that the other tool may take 15 % uses 89 % on average, 83 % at worst.
-- All slots reserved before are void: those in hand are given up, and the next begin at the pause's end, at the new pace.
UPDATE crm_gate
SET (paused_until, raised_at, next_slot_at, throttled_at, throttles, pace) = (
        SELECT until, until,  -- minutes are clean from the pause's end
            CASE WHEN is_first THEN until ELSE next_slot_at END,
            CASE WHEN is_first THEN clock_timestamp() ELSE throttled_at END,
            CASE WHEN is_first THEN throttles + 1 ELSE throttles END,
            CASE
            WHEN is_first THEN greatest(
                least(pace, 0.96 * limit_per_second / rate_per_second) * CASE WHEN throttles >= 2 THEN 0.85 ELSE 0.97 END,
                least(0.5 / rate_per_second, 1)
            )
            ELSE pace
            END
        FROM (
            -- Never shorter than the time for which slots are reserved at once: threads that meet it together make one pause.
            SELECT greatest(paused_until, clock_timestamp() + least(greatest(:seconds, 0.25), 3600) * interval '1 second') AS until,
                coalesce(paused_until <= clock_timestamp(), true) AS is_first
        ) AS pause
    ),
    cause = CASE WHEN cause_kind = 'closed' THEN cause ELSE :sentence END,
    cause_kind = CASE WHEN cause_kind = 'closed' THEN cause_kind ELSE 'throttled' END
WHERE crm = :crm
RETURNING failures_in_a_row
