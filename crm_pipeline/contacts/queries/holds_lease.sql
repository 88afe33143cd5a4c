-- Does a run hold a lease that is not over? Then its process may still be pushing.
SELECT EXISTS (
    SELECT FROM crm_sync s
    WHERE s.crm = :crm AND s.lease_id IS NOT NULL AND s.run_id = :run_id AND s.leased_until >= clock_timestamp()
)
