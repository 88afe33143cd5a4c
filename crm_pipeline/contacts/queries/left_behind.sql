-- Processing statuses without a lease. Scans the table, without a lock: for the schedule and a run's start, not for the sensor.
SELECT c.id FROM contacts c WHERE {left_behind} LIMIT :limit
