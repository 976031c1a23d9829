-- Installations begun, by where they came from. Grain and key: month of the begin, pass type, wallet, acquisition_source;
-- `unknown` where no event tells it. Read by analysts.
SELECT
    c.month, i.pass_type, i.wallet,
    coalesce(i.acquisition_source, 'unknown') AS acquisition_source,
    count(*) AS installs,
    count(*) FILTER (i.uninstalled_at IS NULL) AS still_installed
FROM adoption.installations i
JOIN adoption.calendar c ON i.installed_at >= c.starts_at AND i.installed_at < c.ends_at
GROUP BY ALL
ORDER BY ALL
