-- What became of what was meant for the CRM on the last day on which anything was. Grain and key: outcome.
-- Times in UTC. Read by the doctor.
SELECT outcome, count(*) AS deliveries, min(intended_at) AS first_at, max(intended_at) AS last_at
FROM crm.deliveries
WHERE intended_at > (SELECT max(intended_at) FROM crm.deliveries) - INTERVAL 1 DAY
GROUP BY outcome
ORDER BY deliveries DESC, outcome
