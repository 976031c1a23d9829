-- How the deliveries in outcomes are understood now, against what the warehouse holds. Grain and key: delivery_id.
-- A delivery that the warehouse no longer holds is left out: it was removed on purpose. Read by replay.
SELECT
    o.delivery_id,
    CASE
        WHEN raw.is_forgotten(o.pass_id) THEN 'forgotten'
        WHEN o IS NOT DISTINCT FROM t THEN 'unchanged'
        WHEN o.reason IS NULL AND t.reason IS NULL THEN 'understood_differently'
        WHEN o.reason IS NULL THEN 'now_understood'
        WHEN t.reason IS NULL THEN 'no_longer_understood'
        ELSE 'other_reason'
    END AS change
FROM outcomes o
JOIN taken_deliveries t ON t.delivery_id = o.delivery_id
