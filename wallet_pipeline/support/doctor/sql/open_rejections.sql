-- Customers whose truth the CRM does not hold. Grain and key: error_class, next_step. Times in UTC. Read by the doctor.
SELECT
    error_class, next_step,
    count(*) AS customers,
    min(first_at) AS first_at,
    max(attempts) AS attempts
FROM crm.rejections
GROUP BY ALL
ORDER BY customers DESC, error_class, next_step
