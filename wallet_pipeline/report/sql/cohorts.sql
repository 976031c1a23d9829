-- Of the passes created in a month, how many had been installed, and how many were, by the end of that and each later month;
-- all pass types, in at least one wallet. Grain and key: month of creation, the newest $months of them, and months since. Read
-- by the report.
SELECT
    created_month, months_since,
    sum(passes)::BIGINT AS passes,
    sum(retained_passes)::BIGINT AS retained_passes,
    sum(installed_passes) / sum(passes) AS installed_share,
    sum(retained_passes) / sum(passes) AS retained_share
FROM adoption.adoption_cohorts
WHERE wallet = 'any' AND created_month > (SELECT max(created_month) - to_months($months::INTEGER) FROM adoption.adoption_cohorts)
GROUP BY created_month, months_since
ORDER BY created_month, months_since
