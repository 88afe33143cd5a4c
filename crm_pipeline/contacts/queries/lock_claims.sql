-- Claims of one CRM wait for each other, some ms. In a statement of its own: the snapshot of the next one must be younger.
-- Named by the table's oid: two processes may find the same table by different search paths.
-- What follows reads indexes in their order, and may stop early. A bitmap would be of the whole index, each time anew.
SET LOCAL enable_bitmapscan = off;
SELECT pg_advisory_xact_lock(hashtextextended('contacts'::regclass::oid || ' crm_pipeline ' || :crm, 0))
