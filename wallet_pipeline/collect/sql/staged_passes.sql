-- The passes of the staged snapshot. Grain and key: pass_id: of a pass listed twice the greater JSON counts.
SELECT pass_id, max(pass_type) AS pass_type, min(created_at) AS created_at, max(identifiers) AS identifiers
FROM staging.listing
GROUP BY pass_id
