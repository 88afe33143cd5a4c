-- Remember since when each is in its state. What was pushed meanwhile, or could not be while the CRM is paused, begins anew.
WITH gone AS (
    DELETE FROM crm_ledger l WHERE l.crm = :crm AND l.contact_id <> ALL(CAST(:ids AS uuid[]))
)
INSERT INTO crm_ledger AS l (crm, contact_id, state, since)
SELECT :crm, c.id, seen.state, now()
FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[])) AS seen (id, state)
JOIN contacts c ON c.id = seen.id
ORDER BY c.id
ON CONFLICT (contact_id, crm) DO UPDATE
SET state = excluded.state,
    since = CASE
    WHEN l.state = excluded.state
        AND NOT (:paused AND l.state = ANY(CAST(:awaited AS text[])))
        AND NOT EXISTS (
            SELECT FROM crm_attempts a WHERE a.contact_id = l.contact_id AND a.crm = l.crm AND a.started_at > l.since
        )
    THEN l.since
    ELSE excluded.since
    END
