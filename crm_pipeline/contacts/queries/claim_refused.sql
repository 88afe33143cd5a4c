-- The application's table refused that these contacts are claimed: they are left alone for a while, so that they take the turn of
-- nobody else. The journal says why, once a day, as of no run: one that claims nothing else did nothing.
WITH refused AS (
    SELECT * FROM unnest(CAST(:contact_ids AS uuid[]), CAST(:notes AS text[])) AS r (contact_id, note)
), alive AS MATERIALIZED (  -- contacts are locked before crm_sync, as everybody does
    SELECT c.id FROM contacts c WHERE c.id = ANY(CAST(:contact_ids AS uuid[])) ORDER BY c.id FOR KEY SHARE OF c
), held AS (
    INSERT INTO crm_sync AS s (contact_id, crm, refused_until)
    SELECT alive.id, :crm, now() + make_interval(secs => :seconds) FROM alive ORDER BY alive.id
    ON CONFLICT (contact_id, crm) DO UPDATE SET refused_until = excluded.refused_until
    RETURNING s.contact_id, s.retry_count
)
INSERT INTO crm_attempts (crm, contact_id, lease_id, attempt, target, started_at, outcome, note, applied)
SELECT :crm, held.contact_id, CAST(:lease_id AS uuid), held.retry_count + 1, :target, clock_timestamp(),
    'released', refused.note, 'overruled'
FROM held
JOIN refused ON refused.contact_id = held.contact_id
WHERE NOT EXISTS (
    SELECT FROM crm_attempts a
    WHERE a.contact_id = held.contact_id AND a.crm = :crm AND a.note = refused.note
        AND a.started_at > clock_timestamp() - interval '1 day'
)
ON CONFLICT (lease_id, contact_id) DO NOTHING
