-- Passes installed now, by the trends and by the registers, and how many the registers had to put right because Insights leaves
-- them otherwise. Grain and key: wallet. As of now: no times. Read by trends.py, for a check.
SELECT
    wallet,
    count(*) FILTER (i.uninstalled_at IS NULL AND i.pass_id IS NOT NULL) AS trends,
    count(*) FILTER (r.installed) AS registers,
    count(*) FILTER (i.begin_told_by = 'registers' OR i.end_told_by = 'registers') AS corrected
FROM (FROM adoption.installations QUALIFY number = max(number) OVER (PARTITION BY pass_id, wallet)) i
FULL JOIN (FROM wallet.registers WHERE installed) r USING (pass_id, wallet)
GROUP BY wallet
ORDER BY wallet
