-- Addresses that stayed at the CRM, or may have, when their contact got another one there; none that a contact of ours,
-- the same one perhaps, has today or has taken up since.
SELECT DISTINCT ON (a.left_behind) a.left_behind AS address, a.contact_id, c.email::text AS email, a.started_at
FROM crm_attempts a
JOIN contacts c ON c.id = a.contact_id
WHERE a.crm = :crm AND a.left_behind IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM crm_sync s
        JOIN contacts today ON today.id = s.contact_id
        WHERE s.crm = :crm AND s.email_key = left(a.left_behind, {longest_key})
            AND (s.synced_at > a.started_at OR {todays_key} = s.email_key)
    )
ORDER BY a.left_behind, a.started_at DESC
