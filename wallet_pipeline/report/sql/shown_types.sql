-- Pass types by size. Grain and key: pass_type; place 1 has the most passes. Read by the charts that show the largest ones.
SELECT pass_type, row_number() OVER (ORDER BY count(*) DESC, pass_type) AS place
FROM (
    SELECT pass_id, pass_type FROM adoption.created_passes
    UNION
    SELECT pass_id, pass_type FROM adoption.installations
)
GROUP BY pass_type
