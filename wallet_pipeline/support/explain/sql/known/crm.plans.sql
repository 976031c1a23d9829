-- The newest plan of each scope, unless it is later than $known_at (UTC): of the others crm.plan keeps no rows.
-- Grain and key: scope.
FROM (FROM crm.plans QUALIFY row_number() OVER (PARTITION BY scope ORDER BY planned_at DESC) = 1) WHERE planned_at <= $known_at
