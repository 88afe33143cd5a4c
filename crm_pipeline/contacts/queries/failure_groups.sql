-- Contacts whose last push failed, by cause: addresses, ids and numbers (but HTTP's) are left out of the error, so that the same
-- cause makes one group. Grouped as written first, since most errors are alike to the letter. Scans the table once.
WITH written AS MATERIALIZED (
    SELECT regexp_replace(coalesce(c.{error}, ''), '^Max retries exceeded \(\d+\)\. Last error: ', '') AS error,
        count(*) FILTER (WHERE {waiting}) AS waiting, count(*) AS contacts,
        max(CASE WHEN c.last_failed_crm = :crm THEN c.last_retry_at END) AS last_at,
        min(c.id::text) AS contact_id
    FROM contacts c
    WHERE {chosen}
    GROUP BY 1
), normalised AS (
    SELECT written.*,
        regexp_replace(regexp_replace(regexp_replace(
            written.error,
            '[^\s<>()"'',;]+@[^\s<>()"'',;]+', '#', 'g'),  -- addresses, masked ones too
            '\m[0-9a-f]{{8}}-([0-9a-f]{{4}}-){{3}}[0-9a-f]{{12}}\M|\m(?=[a-z]*\d)[0-9a-z]{{8,}}\M', '#', 'gi'),  -- ids
            '(?<!HTTP )(?<!\d)\d+', '#', 'g'
        ) AS cause
    FROM written
), groups AS (
    SELECT cause, sum(waiting)::bigint AS waiting, sum(contacts)::bigint AS contacts, max(last_at) AS last_at,
        min(contact_id) AS contact_id,
        count(*) OVER () AS all_groups, sum(sum(contacts)) OVER ()::bigint AS all_contacts
    FROM normalised
    GROUP BY cause
    ORDER BY sum(contacts) DESC, cause
    LIMIT :limit
)
SELECT groups.*, c.{error} AS error, c.email::text AS email
FROM groups
JOIN contacts c ON c.id = groups.contact_id::uuid
ORDER BY groups.contacts DESC, groups.cause
