-- How much is due and waiting; each count by its own partial index.
SELECT
    (SELECT count(*) FROM contacts c WHERE {due}) AS queued,
    (SELECT extract(epoch FROM now() - min(c.updated_at))::double precision FROM contacts c WHERE {due}) AS oldest_seconds,
    (SELECT count(*) FROM contacts c
     WHERE c.{sync_status} IN ('Selected', 'Queued') AND c.{processing_status} IS DISTINCT FROM 'Queued'
         AND c.{sync_status} = 'Queued' AND c.{processing_status} = 'Error') AS waiting
