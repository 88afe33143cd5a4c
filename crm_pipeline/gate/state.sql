SELECT least(greatest(extract(epoch FROM paused_until - clock_timestamp()), 0), 3600)::double precision AS paused_seconds,
    paused_until, cause, cause_kind, failures_in_a_row, refused_in_a_row, throttled_at, identity,
    greatest(least(rate_per_second * pace, 0.96 * limit_per_second), least(0.5, rate_per_second)) AS rate_per_second,
    extract(epoch FROM clock_timestamp() - checked_at)::double precision AS checked_seconds_ago
FROM crm_gate
WHERE crm = :crm
