-- Creations, installs and uninstalls of insights_rows, without passes that were forgotten. Grain and key: all columns; two events
-- that say the same of the same moment are one. Times in UTC. Read by insights.py.
SELECT DISTINCT occurred_at, lower(split_part(event_type, ':', 2)) AS kind, pass_id, pass_type, wallet
FROM insights_rows
WHERE event_type IN ('Pass:Created', 'Pass:Installed', 'Pass:Uninstalled') AND pass_id <> '' AND NOT raw.is_forgotten(pass_id)
