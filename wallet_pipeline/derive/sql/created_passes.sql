-- Passes and when they were created, by the list of passes or else by Insights. Grain and key: pass_id. Times in UTC; a pass
-- whose creation nobody tells is left out. Read by the tables of adoption.
SELECT
    pass_id,
    coalesce(nullif(p.pass_type, ''), e.pass_type, '') AS pass_type,
    coalesce(p.created_at, e.created_at) AS created_at
FROM wallet.pass_customers p
FULL JOIN (
    SELECT pass_id, max_by(pass_type, occurred_at) AS pass_type, min(occurred_at) AS created_at
    FROM raw.insights_events
    WHERE kind = 'created'
    GROUP BY pass_id
) e USING (pass_id)
WHERE coalesce(p.created_at, e.created_at) IS NOT NULL
