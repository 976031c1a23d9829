-- Customers whose truth the CRM does not hold, the largest groups first. Times in UTC. Grain and key: error_class, next_step
-- and, if $by_message, message, else null. Read by sum_up_rejections.
SELECT
    error_class,
    CASE WHEN $by_message THEN message END AS message,
    next_step,
    count(*) AS customers,
    min(first_at) AS first_at,
    max(attempts) AS attempts
FROM crm.rejections
GROUP BY ALL
ORDER BY customers DESC, error_class, message, next_step
LIMIT 20
