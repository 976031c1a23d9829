-- The passes to explain, and on what grounds each belongs where it does. Grain and key: pass_id. Times in UTC.
-- joined_through: passes of the same customer, better named, that bear the identifier which is this one's best.
-- Read by explain, from the small warehouse.
WITH best AS (
    SELECT pass_id, min(rank) AS rank FROM wallet.pass_identifiers GROUP BY pass_id
),
joined AS (
    SELECT p.pass_id, list_sort(list(DISTINCT o.pass_id)) AS joined_through
    FROM wallet.pass_customers p
    JOIN explained_passes USING (pass_id)
    JOIN best mine ON mine.pass_id = p.pass_id
    JOIN wallet.pass_identifiers o ON o.name = p.identifier_name AND o.value = p.identifier_value
    JOIN best other ON other.pass_id = o.pass_id AND other.rank < mine.rank
    GROUP BY p.pass_id
)
SELECT
    p.pass_id, p.pass_type, p.created_at, p.identifiers, p.resolution, p.customer_key, p.identifier_name, p.identifier_value,
    coalesce(j.joined_through, []) AS joined_through,
    coalesce(c.customer_keys, []) AS disputed_by
FROM wallet.pass_customers p
JOIN explained_passes USING (pass_id)
LEFT JOIN joined j USING (pass_id)
LEFT JOIN wallet.identity_conflicts c ON c.kind = 'conflict' AND c.pass_id = p.pass_id
ORDER BY p.created_at, p.pass_id
