-- What the CRM's headers say that a second allows.
UPDATE crm_gate
SET limit_per_second = :limit_per_second
WHERE crm = :crm
