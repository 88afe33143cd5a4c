-- Appends outcomes. Nothing is journalled for a contact deleted meanwhile, nothing twice under one lease.
-- A stalled worker's late answer replaces the release that was noted in its absence: the write-back must see it as fenced.
WITH entry AS (
    SELECT * FROM unnest(
        CAST(:contact_ids AS uuid[]), CAST(:ages AS double precision[]), CAST(:durations AS int[]), CAST(:outcomes AS text[]),
        CAST(:http_statuses AS int[]), CAST(:codes AS text[]), CAST(:errors AS text[]), CAST(:external_ids AS text[]),
        CAST(:request_ids AS text[]), CAST(:notes AS text[]), CAST(:left_behind AS text[])
    ) AS e (contact_id, age, duration_ms, outcome, http_status, code, error, external_id, request_id, note, left_behind)
), alive AS MATERIALIZED (
    SELECT c.id FROM contacts c WHERE c.id = ANY(CAST(:contact_ids AS uuid[])) ORDER BY c.id FOR KEY SHARE OF c
)
INSERT INTO crm_attempts (
    crm, contact_id, run_id, lease_id, attempt, target, started_at, duration_ms,
    outcome, http_status, code, error, external_id, request_id, note, left_behind
)
SELECT :crm, entry.contact_id, :run_id, CAST(:lease_id AS uuid), coalesce(s.retry_count, 0) + 1, :target,
    clock_timestamp() - make_interval(secs => entry.age), entry.duration_ms,
    entry.outcome, entry.http_status, entry.code, left(entry.error, 500), entry.external_id, entry.request_id, entry.note,
    entry.left_behind
FROM alive
JOIN entry ON entry.contact_id = alive.id
LEFT JOIN crm_sync s ON s.contact_id = alive.id AND s.crm = :crm
ON CONFLICT (lease_id, contact_id) DO UPDATE
SET applied = 'pending', started_at = excluded.started_at, duration_ms = excluded.duration_ms, outcome = excluded.outcome,
    http_status = excluded.http_status, code = excluded.code, error = excluded.error, external_id = excluded.external_id,
    request_id = excluded.request_id, left_behind = excluded.left_behind,
    note = concat_ws('; ', crm_attempts.note, 'then answered late')
WHERE crm_attempts.outcome = 'released'
RETURNING contact_id
