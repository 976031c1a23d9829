-- Customers of the passes whose best identifier is of rank $rank. Grain and key: pass_id.
-- Run once a rank, from the best: a pass joins the one customer that bears its value on passes of better rank, which
-- stand in pass_resolutions by then. Read by the next rank and by customer_wallet_status.
WITH best AS (
    SELECT pass_id, name, value
    FROM wallet.pass_identifiers
    QUALIFY row_number() OVER (PARTITION BY pass_id ORDER BY rank) = 1 AND rank = $rank
),
bearers AS (
    SELECT
        v.value,
        count(DISTINCT r.customer_key) AS customers,
        min(r.customer_key) AS customer_key,
        bool_or(r.customer_key IS NULL) AS borne_in_conflict
    FROM wallet.pass_identifiers v
    JOIN pass_resolutions r USING (pass_id)
    WHERE v.rank = $rank
    GROUP BY v.value
)
SELECT
    pass_id,
    b.name AS identifier_name,
    b.value AS identifier_value,
    CASE
        WHEN bearers.value IS NULL THEN b.name || '=' || b.value
        WHEN bearers.customers = 1 AND NOT bearers.borne_in_conflict THEN bearers.customer_key
    END AS customer_key
FROM best b
LEFT JOIN bearers ON bearers.value = b.value
