-- The certificate. Grain and key: day of reconciled_days, wallet. Times in UTC. What is installed is counted once
-- for each day, and stays. $now: when it is issued. Read by analysts, and by the certificate's page.
WITH sides AS (
    SELECT d.*, wallet
    FROM reconciled_days d
    CROSS JOIN (VALUES ('apple'), ('google')) wallets (wallet)
),
listed AS (
    SELECT wallet, count(*) AS installed FROM raw.wallet_observations WHERE present AND last_snapshot IS NULL GROUP BY ALL
),
registered AS (
    SELECT
        r.wallet,
        count(*) AS installed,
        count(*) FILTER (p.resolution = 'unmatched') AS unmatched,
        count(*) FILTER (p.resolution = 'conflict') AS conflict
    FROM wallet.registers r
    LEFT JOIN wallet.pass_customers p USING (pass_id)
    WHERE r.installed
    GROUP BY ALL
),
said AS (
    SELECT wallet, count(*) AS installed
    FROM (
        SELECT pass_id, wallet
        FROM raw.insights_events
        WHERE kind IN ('installed', 'uninstalled')
        GROUP BY ALL
        HAVING last(kind ORDER BY occurred_at, kind) = 'installed'
    )
    GROUP BY ALL
),
having_it AS (
    SELECT wallet, count(*) FILTER (c.wallet_status IN (wallet, 'both')) AS customers
    FROM wallet.customer_wallet_status c
    CROSS JOIN (VALUES ('apple'), ('google')) wallets (wallet)
    GROUP BY ALL
),
holding_it AS (
    SELECT wallet, count(DISTINCT h.record_id) FILTER (h.wallet_status IN (wallet, 'both')) AS records
    FROM crm_holdings h
    CROSS JOIN (VALUES ('apple'), ('google')) wallets (wallet)
    GROUP BY ALL
),
shown AS (
    SELECT d.day, o.wallet, count(DISTINCT o.pass_id) AS passes
    FROM raw.wallet_observations o
    JOIN reconciled_days d ON o.installed_at >= d.starts_at AND o.installed_at < d.ends_at
    WHERE o.present
    GROUP BY ALL
),
counted AS (
    SELECT
        d.day, e.wallet,
        count(*) FILTER (e.kind = 'installed') AS installs,
        count(*) FILTER (e.kind = 'uninstalled') AS uninstalls
    FROM raw.insights_events e
    JOIN reconciled_days d ON e.occurred_at >= d.starts_at AND e.occurred_at < d.ends_at
    GROUP BY ALL
),
arrived AS (
    SELECT
        d.day, a.wallet,
        count(*) FILTER (a.kind = 'installed') AS installs,
        count(*) FILTER (a.kind = 'uninstalled') AS uninstalls,
        quantile_cont(a.late_seconds, 0.5) AS late_p50,
        quantile_cont(a.late_seconds, 0.99) AS late_p99
    FROM arrived_events a
    JOIN reconciled_days d ON a.occurred_at >= d.starts_at AND a.occurred_at < d.ends_at
    GROUP BY ALL
),
verified AS (
    SELECT day, wallet, count(*) AS changes, quantile_cont(seconds, 0.5) AS p50, quantile_cont(seconds, 0.99) AS p99
    FROM verified_changes
    GROUP BY ALL
),
drift AS (
    SELECT
        customer_key, found_at, repaired_at, wallet
    FROM crm.drift
    CROSS JOIN (VALUES ('apple'), ('google')) wallets (wallet)
    WHERE CASE field
        WHEN 'apple_wallet_installed_at' THEN wallet = 'apple'
        WHEN 'google_wallet_installed_at' THEN wallet = 'google'
        WHEN 'wallet_status' THEN coalesce(expected IN (wallet, 'both'), FALSE) <> coalesce(found IN (wallet, 'both'), FALSE)
        ELSE TRUE
    END
),
drifted AS (
    SELECT d.day, f.wallet, count(DISTINCT f.customer_key) AS customers
    FROM drift f
    JOIN reconciled_days d ON f.found_at >= d.starts_at AND f.found_at < d.ends_at
    GROUP BY ALL
),
repaired AS (
    SELECT d.day, f.wallet, count(DISTINCT f.customer_key) AS customers
    FROM drift f
    JOIN reconciled_days d ON f.repaired_at >= d.starts_at AND f.repaired_at < d.ends_at
    GROUP BY ALL
),
judged AS (
    SELECT
        day, wallet,
        sum(differences)::BIGINT AS differences,
        coalesce(sum(differences) FILTER (explanation IS NULL), 0)::BIGINT AS unexplained
    FROM wallet.reconciliation_reasons
    GROUP BY ALL
),
found_anew AS (
    SELECT day, wallet, count(*) AS differences
    FROM wallet.reconciliation_differences
    WHERE explanation IS NULL AND since = day
    GROUP BY ALL
),
held_back AS (
    SELECT d.wallet, count(*) AS customers
    FROM crm_differences d
    JOIN crm.plan p ON p.customer_key = d.customer_key AND p.action = 'hold'
    GROUP BY ALL
),
lost AS (
    SELECT day, wallet, count(*) AS events
    FROM delivery_differences
    WHERE is_lost
    GROUP BY ALL
)
SELECT
    s.day, s.wallet,
    coalesce(j.differences, 0) AS differences,
    coalesce(j.unexplained, 0) AS unexplained,
    coalesce(n.differences, 0) AS newly_unexplained,
    CASE WHEN s.is_counted THEN coalesce(li.installed, 0) ELSE o.pass_api_installed END AS pass_api_installed,
    CASE WHEN s.is_counted THEN coalesce(re.installed, 0) ELSE o.registers_installed END AS registers_installed,
    CASE WHEN s.is_counted THEN coalesce(sa.installed, 0) ELSE o.insights_installed END AS insights_installed,
    CASE WHEN s.is_counted THEN coalesce(ha.customers, 0) ELSE o.customers_installed END AS customers_installed,
    CASE
        WHEN s.is_counted AND EXISTS (FROM crm.plans WHERE scope = 'all') THEN coalesce(ho.records, 0)
        WHEN NOT s.is_counted THEN o.crm_installed
    END AS crm_installed,
    CASE WHEN s.is_counted THEN coalesce(re.unmatched, 0) ELSE o.unmatched_passes END AS unmatched_passes,
    CASE WHEN s.is_counted THEN coalesce(re.conflict, 0) ELSE o.conflict_passes END AS conflict_passes,
    CASE WHEN s.is_counted THEN coalesce(hb.customers, 0) ELSE o.held_customers END AS held_customers,
    coalesce(sh.passes, 0) AS pass_api_installs,
    coalesce(co.installs, 0) AS insights_installs,
    coalesce(co.uninstalls, 0) AS insights_uninstalls,
    CASE WHEN s.has_inbox THEN coalesce(ar.installs, 0) END AS inbox_installs,
    CASE WHEN s.has_inbox THEN coalesce(ar.uninstalls, 0) END AS inbox_uninstalls,
    CASE WHEN s.has_inbox THEN coalesce(lo.events, 0) END AS lost_events,
    ar.late_p50 AS late_p50_seconds,
    ar.late_p99 AS late_p99_seconds,
    coalesce(ve.changes, 0) AS verified_changes,
    ve.p50 AS verified_p50_seconds,
    ve.p99 AS verified_p99_seconds,
    coalesce(dr.customers, 0) AS drift_found,
    coalesce(rp.customers, 0) AS drift_repaired,
    CASE
        WHEN s.is_counted THEN (SELECT max(started_at) FROM raw.snapshots WHERE verdict = 'accepted')
        ELSE o.listed_at
    END AS listed_at,
    $now AS certified_at,
    CASE
        WHEN coalesce(j.unexplained, 0) > 0 THEN 'not explained'
        WHEN NOT s.is_counted AND o.pass_api_installed IS NULL THEN 'not compared'
        WHEN coalesce(j.differences, 0) = 0 THEN 'agree'
        ELSE 'explained'
    END AS verdict
FROM sides s
LEFT JOIN wallet.reconciliation o USING (day, wallet)
LEFT JOIN judged j USING (day, wallet)
LEFT JOIN found_anew n USING (day, wallet)
LEFT JOIN lost lo USING (day, wallet)
LEFT JOIN shown sh USING (day, wallet)
LEFT JOIN counted co USING (day, wallet)
LEFT JOIN arrived ar USING (day, wallet)
LEFT JOIN verified ve USING (day, wallet)
LEFT JOIN drifted dr USING (day, wallet)
LEFT JOIN repaired rp USING (day, wallet)
LEFT JOIN held_back hb USING (wallet)
LEFT JOIN listed li USING (wallet)
LEFT JOIN registered re USING (wallet)
LEFT JOIN said sa USING (wallet)
LEFT JOIN having_it ha USING (wallet)
LEFT JOIN holding_it ho USING (wallet)
