-- Addresses that stayed at the CRM when their contact got another one there, and that no contact has taken up since.
SELECT DISTINCT ON (a.left_behind) a.left_behind AS address, a.contact_id, c.email::text AS email, a.started_at
FROM crm_attempts a
JOIN contacts c ON c.id = a.contact_id
WHERE a.crm = :crm AND a.left_behind IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM crm_sync s
        WHERE s.crm = :crm AND s.email_key = left(a.left_behind, {longest_key}) AND s.synced_at > a.started_at
    )
ORDER BY a.left_behind, a.started_at DESC
