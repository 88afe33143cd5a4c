-- A run's start writes the configured rate (the last start wins) and, when key or URL have changed, opens the gate.
-- A lost row is made anew, its first slot a second away: no row never means no limit.
INSERT INTO crm_gate AS g (crm, rate_per_second, identity, next_slot_at)
VALUES (:crm, :rate, :identity, clock_timestamp() + interval '1 second')
ON CONFLICT (crm) DO UPDATE
SET rate_per_second = excluded.rate_per_second,
    identity = excluded.identity,
    checked_at = CASE WHEN g.identity = excluded.identity THEN g.checked_at END,
    paused_until = CASE WHEN g.identity = excluded.identity THEN g.paused_until END,
    cause = CASE WHEN g.identity = excluded.identity THEN g.cause END,
    cause_kind = CASE WHEN g.identity = excluded.identity THEN g.cause_kind END,
    failures_in_a_row = CASE WHEN g.identity = excluded.identity THEN g.failures_in_a_row ELSE 0 END,
    pauses_in_a_row = CASE WHEN g.identity = excluded.identity THEN g.pauses_in_a_row ELSE 0 END
