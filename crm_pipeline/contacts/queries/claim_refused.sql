-- The application's table refuses that this contact is claimed. From the second time on it is claimed alone, as one whose
-- process died: it does not take room in the batches of others. The journal says why, once a day, as of no run: one that
-- claims nothing else did nothing.
WITH counted AS (
    INSERT INTO crm_sync AS s (contact_id, crm, crashes)
    VALUES (CAST(:contact_id AS uuid), :crm, 1)
    ON CONFLICT (contact_id, crm) DO UPDATE SET crashes = least(s.crashes + 1, :alone_at)
    RETURNING s.contact_id, s.retry_count
)
INSERT INTO crm_attempts (crm, contact_id, lease_id, attempt, target, started_at, outcome, note, applied)
SELECT :crm, counted.contact_id, CAST(:lease_id AS uuid), counted.retry_count + 1, :target, clock_timestamp(),
    'released', :note, 'overruled'
FROM counted
WHERE NOT EXISTS (
    SELECT FROM crm_attempts a
    WHERE a.contact_id = counted.contact_id AND a.crm = :crm AND a.note = :note
        AND a.started_at > clock_timestamp() - interval '1 day'
)
ON CONFLICT (lease_id, contact_id) DO NOTHING
