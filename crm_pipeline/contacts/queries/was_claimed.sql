-- Was anything ever claimed under this lease? A released or written-back contact has its journal row.
SELECT EXISTS (SELECT FROM crm_sync s WHERE s.lease_id = CAST(:lease_id AS uuid))
    OR EXISTS (SELECT FROM crm_attempts a WHERE a.lease_id = CAST(:lease_id AS uuid))
