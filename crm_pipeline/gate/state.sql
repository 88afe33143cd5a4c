SELECT least(greatest(extract(epoch FROM paused_until - clock_timestamp()), 0), 3600)::double precision AS paused_seconds,
    cause, cause_kind, failures_in_a_row, rate_per_second,
    extract(epoch FROM clock_timestamp() - checked_at)::double precision AS checked_seconds_ago,
    identity, suspicion, throttled_at
FROM crm_gate
WHERE crm = :crm
