-- What follows has no index to use: it scans the table, and may take longer than other statements.
SET LOCAL enable_seqscan = on; SET LOCAL statement_timeout = '60s'
