-- GCRA: the next free slot moves on by n times the emission interval. One row lock; the caller waits until its slots.
-- Nothing is reserved while paused. The clock may step: a slot is never more than a minute away, a pause never over an hour.
UPDATE crm_gate
SET next_slot_at = CASE
    WHEN paused_until > clock_timestamp() THEN next_slot_at
    ELSE least(greatest(next_slot_at, clock_timestamp()), clock_timestamp() + interval '1 minute')
        + :n * interval '1 second' / rate_per_second
    END,
    paused_until = CASE
    WHEN paused_until > clock_timestamp() + interval '1 hour' THEN clock_timestamp() + interval '1 hour' ELSE paused_until
    END
WHERE crm = :crm
RETURNING
    least(greatest(extract(epoch FROM paused_until - clock_timestamp()), 0), 3600)::double precision AS paused_seconds,
    cause, cause_kind, failures_in_a_row, pauses_in_a_row,
    extract(epoch FROM next_slot_at - :n * interval '1 second' / rate_per_second - clock_timestamp())
        ::double precision AS first_delay_seconds,
    rate_per_second
