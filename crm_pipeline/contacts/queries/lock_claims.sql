-- Claims of one CRM wait for each other, some ms. In a statement of its own: the snapshot of the next one must be younger.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' crm_pipeline ' || :crm, 0))
