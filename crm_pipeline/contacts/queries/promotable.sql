-- Who would be promoted, a portion at a time, by id: where the table refuses one of them, each is promoted by itself.
SELECT c.id
FROM contacts c
{mechanics}
WHERE {promotable}
    AND (CAST(:after AS uuid) IS NULL OR c.id > CAST(:after AS uuid))
ORDER BY c.id
LIMIT :limit
