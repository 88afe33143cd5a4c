-- A person has dealt with an address that was left behind at the CRM: the attempts that left it say so.
UPDATE crm_attempts
SET left_behind = NULL, note = concat_ws('; ', note, 'what was left behind is settled')
WHERE crm = :crm AND left_behind IS NOT NULL AND lower(left_behind) = :address
RETURNING id
