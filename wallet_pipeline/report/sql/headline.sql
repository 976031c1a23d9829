-- The numbers at the top of the report, both wallets added where none is named. Grain: one row. Days are those of the calendar
-- that are over, in its time zone. Read by the report.
WITH last_day AS (SELECT max(day) AS day FROM adoption.calendar WHERE is_over),
customers AS (
    SELECT
        count(*) AS customers,
        count(*) FILTER (wallet_status = 'both') AS customers_both,
        count(*) FILTER (wallet_status = 'apple') AS customers_apple,
        count(*) FILTER (wallet_status = 'google') AS customers_google,
        count(*) FILTER (wallet_status = 'none') AS customers_none
    FROM wallet.customer_wallet_status
),
installed AS (
    SELECT
        count(*) FILTER (wallet = 'apple') AS installed_apple,
        count(*) FILTER (wallet = 'google') AS installed_google
    FROM adoption.installations
    WHERE uninstalled_at IS NULL
),
created AS (
    SELECT
        count(*) AS passes,
        count(*) FILTER (
            pass_id IN (SELECT pass_id FROM adoption.installations WHERE uninstalled_at IS NULL)
        ) AS passes_installed,
        count(*) FILTER (pass_id IN (SELECT pass_id FROM adoption.installations)) AS passes_ever_installed
    FROM adoption.created_passes
),
flows AS (
    SELECT
        coalesce(sum(installs) FILTER (d.day > l.day - 7), 0)::BIGINT AS installs_7,
        coalesce(sum(uninstalls) FILTER (d.day > l.day - 7), 0)::BIGINT AS uninstalls_7,
        coalesce(sum(installs) FILTER (d.day BETWEEN l.day - 13 AND l.day - 7), 0)::BIGINT AS installs_7_before,
        coalesce(sum(uninstalls) FILTER (d.day BETWEEN l.day - 13 AND l.day - 7), 0)::BIGINT AS uninstalls_7_before,
        coalesce(sum(installs) FILTER (d.day > l.day - 30), 0)::BIGINT AS installs_30,
        coalesce(sum(uninstalls) FILTER (d.day > l.day - 30), 0)::BIGINT AS uninstalls_30,
        coalesce(sum(installs) FILTER (d.day BETWEEN l.day - 59 AND l.day - 30), 0)::BIGINT AS installs_30_before,
        coalesce(sum(uninstalls) FILTER (d.day BETWEEN l.day - 59 AND l.day - 30), 0)::BIGINT AS uninstalls_30_before
    FROM adoption.adoption_daily d
    JOIN last_day l ON d.day <= l.day
),
days AS (
    SELECT min(c.day) AS first_day, max(c.day) AS newest_day, any_value(l.day) AS last_day, count(*) AS days,
        any_value(c.time_zone) AS time_zone
    FROM adoption.calendar c
    CROSS JOIN last_day l
)
SELECT
    c.*, i.*, p.*, f.*, d.*,
    p.passes_installed / nullif(p.passes, 0) AS installed_share,
    p.passes_ever_installed / nullif(p.passes, 0) AS ever_share
FROM customers c
CROSS JOIN installed i
CROSS JOIN created p
CROSS JOIN flows f
CROSS JOIN days d
