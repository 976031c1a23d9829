-- The passes of the staged snapshot. Grain and key: pass_id: of a pass listed twice the greater JSON counts.
-- Forgotten ones are left out.
SELECT pass_id, max(pass_type) AS pass_type, min(created_at) AS created_at, max(identifiers) AS identifiers
FROM staging.listing
WHERE NOT raw.is_forgotten(pass_id)
GROUP BY pass_id
