-- How many of the hour's requests are used, for this key and URL. An hour that is over has used none of the next.
SELECT CASE WHEN hour_ends_at > clock_timestamp() THEN hour_used ELSE 0 END AS used, requests_per_hour,
    CASE WHEN hour_ends_at > clock_timestamp() THEN hour_ends_at END AS ends_at
FROM crm_gate
WHERE crm = :crm AND identity = :identity AND requests_per_hour IS NOT NULL
