-- Has this lease answers that wait for their write-back?
SELECT EXISTS (
    SELECT FROM crm_attempts a WHERE a.crm = :crm AND a.lease_id = CAST(:lease_id AS uuid) AND a.applied = 'pending'
)
