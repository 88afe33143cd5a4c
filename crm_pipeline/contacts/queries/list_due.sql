-- Reads what is due, oldest change first, without a lock: a batch claims its own ids just before it is sent.
SELECT c.id, {email_key} AS email_key, {former_key} AS former_key, coalesce(s.crashes, 0) AS crashes,
    c.{error} IS NOT NULL AS has_error
FROM contacts c
{mechanics}
WHERE {due}
    AND s.lease_id IS NULL
    AND {not_refused}
    AND {no_twin_in_flight}
ORDER BY c.updated_at, c.id
LIMIT :limit
