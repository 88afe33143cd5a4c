-- What follows has no index to use: it scans the table.
SET LOCAL enable_seqscan = on
