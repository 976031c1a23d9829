-- Do Insights' events name wallet and pass type. One row: installs and uninstalls since $since (UTC day), and those of
-- them without a wallet, and without a pass type. Read by the doctor.
SELECT
    coalesce(sum(events), 0)::BIGINT AS events,
    coalesce(sum(events) FILTER (wallet = ''), 0)::BIGINT AS without_wallet,
    coalesce(sum(events) FILTER (pass_type = ''), 0)::BIGINT AS without_pass_type
FROM raw.insights_daily
WHERE day >= $since AND event_type IN ('Pass:Installed', 'Pass:Uninstalled')
