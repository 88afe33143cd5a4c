-- Which of these contacts were refused in the very same words since somebody last asked for them, though others have been taken
-- since? That is a trouble of their own. They come again after minutes, among others of their kind: then it looks like all's.
SELECT DISTINCT a.contact_id
FROM unnest(CAST(:ids AS uuid[]), CAST(:errors AS text[])) AS refused (contact_id, error)
JOIN crm_attempts a ON a.contact_id = refused.contact_id AND a.crm = :crm AND a.error = left(refused.error, 500)
JOIN crm_gate g ON g.crm = a.crm
WHERE a.outcome = 'failed'
    AND a.started_at + coalesce(a.duration_ms, 0) * interval '1 millisecond' < g.accepted_at
    AND NOT EXISTS (  -- each counted attempt has a higher number than the one before, unless it was asked for again
        SELECT FROM crm_attempts later
        WHERE later.contact_id = a.contact_id AND later.crm = a.crm AND later.started_at > a.started_at
            AND later.attempt <= a.attempt
    )
