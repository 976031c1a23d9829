-- The newest plan of all customers, and the newest of changes when it is newer. Grain and key: scope.
-- Times in UTC. Read by the doctor.
WITH newest AS (
    SELECT scope, planned_at, admitted, verdict
    FROM crm.plans
    QUALIFY row_number() OVER (PARTITION BY scope ORDER BY planned_at DESC) = 1
)
SELECT scope, planned_at, admitted, verdict
FROM newest
WHERE scope = 'all' OR planned_at > coalesce((SELECT planned_at FROM newest WHERE scope = 'all'), '-infinity')
ORDER BY planned_at
