-- Installations begun in the newest $months months, by where they came from; all pass types, both wallets. Grain and key:
-- acquisition_source, the $largest with most installations; one more row, without a name, sums up the others. Read by the
-- report.
WITH sources AS (
    SELECT
        acquisition_source,
        sum(installs) AS installs,
        sum(still_installed) AS still_installed,
        row_number() OVER (ORDER BY sum(installs) DESC, acquisition_source) AS place
    FROM adoption.adoption_by_source
    WHERE month > (SELECT max(month) - to_months($months::INTEGER) FROM adoption.adoption_by_source)
    GROUP BY acquisition_source
)
SELECT
    CASE WHEN place <= $largest THEN acquisition_source END AS acquisition_source,
    sum(still_installed)::BIGINT AS still_installed,
    sum(installs - still_installed)::BIGINT AS ended
FROM sources
GROUP BY least(place, $largest + 1), 1
ORDER BY least(place, $largest + 1)
