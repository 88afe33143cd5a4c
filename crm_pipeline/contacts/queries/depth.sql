-- How much is due (wishes written with one column too) and waiting; each count by a partial index.
SELECT
    (SELECT count(*) FROM contacts c WHERE {due}) + (SELECT count(*) FROM contacts c WHERE {wish}) AS queued,
    (SELECT extract(epoch FROM now() - min(c.updated_at))::double precision FROM contacts c WHERE {due}) AS oldest_seconds,
    (SELECT count(*) FROM contacts c WHERE {waiting}) AS waiting
