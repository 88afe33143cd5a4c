-- Is any contact under this lease?
SELECT EXISTS (SELECT FROM crm_sync s WHERE s.lease_id = CAST(:lease_id AS uuid))
