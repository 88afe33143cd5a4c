-- What was given up or refused, with an error that contains a text (any case; empty: whatever the error). Scans the table.
SELECT c.id
FROM contacts c
WHERE {chosen}
    AND (CAST(:contains AS text) = '' OR position(lower(:contains) IN lower(c.{error})) > 0)
ORDER BY c.id
