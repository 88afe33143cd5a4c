-- Answers that wait for their write-back, of the contacts just locked. :lease_ids pairs with :contact_ids.
SELECT a.id, a.contact_id, a.outcome
FROM crm_attempts a
JOIN unnest(CAST(:contact_ids AS uuid[]), CAST(:lease_ids AS uuid[])) AS locked (contact_id, lease_id)
    ON locked.contact_id = a.contact_id AND locked.lease_id = a.lease_id
WHERE a.crm = :crm AND a.applied = 'pending'
