-- Is it time to look for what was left behind? At most every 5 minutes.
UPDATE crm_gate SET taken_back_at = now()
WHERE crm = :crm AND (taken_back_at IS NULL OR taken_back_at < now() - interval '5 minutes')
RETURNING crm
