-- All that differs, whichever is compared, with the customer of each pass, and since when. Grain: day, wallet, comparison, pass or
-- customer, event. Times in UTC. Read by operators, and counted for the certificate.
WITH found AS (
    SELECT day, wallet, comparison, explanation, d.pass_id, p.customer_key, difference, happened_at
    FROM (FROM delivery_differences UNION ALL BY NAME FROM list_differences UNION ALL BY NAME FROM insights_differences) d
    LEFT JOIN wallet.pass_customers p ON p.pass_id = d.pass_id
    UNION ALL
    SELECT day, wallet, comparison, explanation, NULL, customer_key, difference, happened_at
    FROM crm_differences
),
-- What the day counted before was told. An event is of its day alone.
before AS (
    SELECT *
    FROM wallet.reconciliation_differences
    WHERE comparison <> 'delivery' AND day = (
        SELECT max(day)
        FROM wallet.reconciliation
        WHERE pass_api_installed IS NOT NULL AND day < (SELECT day FROM reconciled_days WHERE is_counted)
    )
)
SELECT f.*, coalesce(b.since, f.day) AS since
FROM found f
LEFT JOIN before b
    ON b.wallet = f.wallet AND b.comparison = f.comparison AND b.difference = f.difference
    AND b.pass_id IS NOT DISTINCT FROM f.pass_id AND b.customer_key IS NOT DISTINCT FROM f.customer_key
    AND b.explanation IS NOT DISTINCT FROM f.explanation
