-- A Processing status without a lease? Scans the table: for the schedule, not for the sensor.
SELECT EXISTS (SELECT FROM contacts c WHERE {left_behind})
