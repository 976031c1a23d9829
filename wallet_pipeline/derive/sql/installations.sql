-- Every installation that a pass had in a wallet, from its begin to its end. Grain and key: pass_id, wallet, number. Times in
-- UTC. History is told by Insights, the present by the registers: where Insights leaves a pass otherwise than the registers have
-- it, they put the last installation right. An install while installed is another device, an uninstall while not installed an
-- echo: neither counts. Of one moment, an install comes before an uninstall, as in the status rules. Read by the tables of adoption and by analysts.
WITH turns AS (
    SELECT
        pass_id, wallet, kind, occurred_at, pass_type,
        lag(kind) OVER (PARTITION BY pass_id, wallet ORDER BY occurred_at, kind) AS kind_before
    FROM raw.insights_events
    WHERE kind IN ('installed', 'uninstalled') AND wallet IN ('apple', 'google')
),
told AS (
    SELECT
        pass_id, wallet, kind, occurred_at,
        lead(occurred_at) OVER (PARTITION BY pass_id, wallet ORDER BY occurred_at, kind) AS turned_at
    FROM turns
    WHERE kind IS DISTINCT FROM kind_before
    -- The first that is told may be the end of what began before Insights was read.
    QUALIFY kind = 'installed' OR kind_before IS NULL
),
spells AS (
    SELECT
        pass_id, wallet,
        CASE WHEN kind = 'installed' THEN occurred_at END AS installed_at,
        CASE WHEN kind = 'installed' THEN turned_at ELSE occurred_at END AS uninstalled_at,
        -- The next one may begin when this one ends, but not when it begins.
        CASE WHEN uninstalled_at IS NOT NULL THEN greatest(uninstalled_at, installed_at + INTERVAL 1 MICROSECOND) END AS next_from,
        row_number() OVER (PARTITION BY pass_id, wallet ORDER BY occurred_at DESC) = 1 AS is_last
    FROM told
),
unlisted AS (
    SELECT s.pass_id, s.wallet, min(n.started_at) AS missed_at
    FROM spells s
    ANTI JOIN wallet.registers r ON r.pass_id = s.pass_id AND r.wallet = s.wallet
    JOIN raw.snapshots n ON n.verdict = 'accepted' AND n.complete AND n.started_at > s.installed_at
    WHERE s.is_last AND s.uninstalled_at IS NULL
    GROUP BY ALL
),
corrected AS (
    SELECT
        s.pass_id, s.wallet, s.installed_at,
        CASE
            WHEN NOT s.is_last THEN s.uninstalled_at
            WHEN r.installed AND r.installed_at < s.next_from THEN NULL
            WHEN NOT r.installed AND s.uninstalled_at IS NULL THEN greatest(r.changed_at, s.installed_at)
            ELSE coalesce(s.uninstalled_at, u.missed_at)
        END AS uninstalled_at,
        'insights' AS begin_told_by,
        CASE
            WHEN s.is_last AND s.uninstalled_at IS NULL AND (NOT r.installed OR u.missed_at IS NOT NULL) THEN 'registers'
            ELSE 'insights'
        END AS end_told_by
    FROM spells s
    LEFT JOIN wallet.registers r USING (pass_id, wallet)
    LEFT JOIN unlisted u USING (pass_id, wallet)
    UNION ALL
    SELECT r.pass_id, r.wallet, r.installed_at, NULL, 'registers', NULL
    FROM wallet.registers r
    LEFT JOIN (FROM spells WHERE is_last) s USING (pass_id, wallet)
    WHERE r.installed AND (s.pass_id IS NULL OR r.installed_at >= s.next_from)
),
-- Which installation an event belongs to that tells where it came from: the clock of who sent it may be a minute behind.
sources AS (
    SELECT e.pass_id, e.wallet, c.installed_at, min_by(e.acquisition_source, (e.occurred_at, e.acquisition_source)) AS acquisition_source
    FROM (FROM raw.wallet_events WHERE kind = 'installed' AND acquisition_source IS NOT NULL) e
    ASOF JOIN (SELECT *, coalesce(installed_at, '-infinity') AS begins_at FROM corrected) c
        ON c.pass_id = e.pass_id AND c.wallet = e.wallet AND c.begins_at <= e.occurred_at + INTERVAL 1 MINUTE
    WHERE c.uninstalled_at IS NULL OR e.occurred_at <= c.uninstalled_at
    GROUP BY ALL
)
SELECT
    c.pass_id, c.wallet,
    row_number() OVER (PARTITION BY c.pass_id, c.wallet ORDER BY c.installed_at NULLS FIRST) AS number,
    coalesce(nullif(p.pass_type, ''), t.pass_type, '') AS pass_type,
    coalesce(p.created_at, t.created_at) AS created_at,
    c.installed_at, c.uninstalled_at, c.begin_told_by,
    CASE WHEN c.uninstalled_at IS NOT NULL THEN c.end_told_by END AS end_told_by,
    s.acquisition_source
FROM corrected c
LEFT JOIN wallet.pass_customers p USING (pass_id)
LEFT JOIN (
    SELECT pass_id, max_by(pass_type, occurred_at) AS pass_type, min(occurred_at) FILTER (kind = 'created') AS created_at
    FROM raw.insights_events
    GROUP BY pass_id
) t USING (pass_id)
LEFT JOIN sources s ON s.pass_id = c.pass_id AND s.wallet = c.wallet AND s.installed_at IS NOT DISTINCT FROM c.installed_at
