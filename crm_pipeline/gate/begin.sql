-- A run's start writes the configured rate and quota (the last start wins). Another key or URL is another account: the
-- gate opens, and what was learnt of the former one is forgotten. Another quota ends the pause that the former one made.
-- A lost row is made anew, its first slot a second away: no row never means no limit.
INSERT INTO crm_gate AS g (crm, rate_per_second, requests_per_hour, identity, next_slot_at)
VALUES (:crm, :rate, :requests_per_hour, :identity, clock_timestamp() + interval '1 second')
ON CONFLICT (crm) DO UPDATE
SET rate_per_second = excluded.rate_per_second,
    requests_per_hour = excluded.requests_per_hour,
    identity = excluded.identity,
    checked_at = CASE WHEN g.identity = excluded.identity THEN g.checked_at END,
    paused_until = CASE
        WHEN g.paused_until = g.hour_ends_at AND g.requests_per_hour IS DISTINCT FROM excluded.requests_per_hour THEN NULL
        WHEN g.identity = excluded.identity THEN g.paused_until
    END,
    cause = CASE WHEN g.identity = excluded.identity THEN g.cause END,
    cause_kind = CASE WHEN g.identity = excluded.identity THEN g.cause_kind END,
    failures_in_a_row = CASE WHEN g.identity = excluded.identity THEN g.failures_in_a_row ELSE 0 END,
    pauses_in_a_row = CASE WHEN g.identity = excluded.identity THEN g.pauses_in_a_row ELSE 0 END,
    refused_in_a_row = CASE WHEN g.identity = excluded.identity THEN g.refused_in_a_row ELSE 0 END,
    refused_at = CASE WHEN g.identity = excluded.identity THEN g.refused_at END,
    accepted_at = CASE WHEN g.identity = excluded.identity THEN g.accepted_at END,
    pace = CASE WHEN g.identity = excluded.identity THEN g.pace ELSE 1 END,
    raised_at = CASE WHEN g.identity = excluded.identity THEN g.raised_at END,
    throttles = CASE WHEN g.identity = excluded.identity THEN g.throttles ELSE 0 END,
    limit_per_second = CASE WHEN g.identity = excluded.identity THEN g.limit_per_second END,
    hour_ends_at = CASE WHEN g.identity = excluded.identity THEN g.hour_ends_at END
