-- Events that Insights counts and nobody delivered (is_lost), or the other way round. Grain: day, wallet, event. Times in UTC. They
-- are the same event when pass, wallet and kind are, and the times are no more than five minutes apart, as in the rules; an event
-- without a time of its own may have been received up to a day later. $now: when that is looked at. Read by
-- reconciliation_differences and reconciliation.
WITH counted AS (
    SELECT d.day, e.wallet, e.kind, e.pass_id, e.occurred_at
    FROM raw.insights_events e
    JOIN reconciled_days d ON e.occurred_at >= d.starts_at AND e.occurred_at < d.ends_at
    WHERE d.has_inbox AND e.kind IN ('installed', 'uninstalled') AND e.wallet IN ('apple', 'google')
),
arrived AS (
    SELECT d.day, d.fetched_at, a.*
    FROM arrived_events a
    JOIN reconciled_days d ON a.occurred_at >= d.starts_at AND a.occurred_at < d.ends_at
    WHERE d.has_inbox AND a.wallet IN ('apple', 'google')
)
SELECT
    c.day, c.wallet, 'delivery' AS comparison, c.pass_id, c.kind || ' by Insights, not delivered' AS difference, TRUE AS is_lost,
    c.occurred_at AS happened_at,
    CASE
        WHEN c.occurred_at > $now - INTERVAL 1 HOUR THEN 'happened within the last hour, may yet be delivered'
    END AS explanation
FROM counted c
ANTI JOIN arrived_events a
    ON a.pass_id = c.pass_id AND a.wallet = c.wallet AND a.kind = c.kind
    AND a.occurred_at >= c.occurred_at - INTERVAL 5 MINUTE
    AND a.occurred_at <= c.occurred_at + CASE WHEN a.late_seconds IS NULL THEN INTERVAL 1 DAY ELSE INTERVAL 5 MINUTE END
UNION ALL
SELECT
    a.day, a.wallet, 'delivery', a.pass_id, a.kind || ' delivered, not by Insights', FALSE, a.occurred_at,
    CASE
        WHEN i.event_id IS NOT NULL THEN 'the event is no evidence: ' || i.reason
        WHEN n.pass_id IS NOT NULL THEN 'Insights does not name the wallet'
        WHEN a.occurred_at > a.fetched_at - INTERVAL 1 HOUR THEN 'Insights was read within the hour, the next run reads it again'
    END
FROM arrived a
ANTI JOIN raw.insights_events c
    ON c.pass_id = a.pass_id AND c.wallet = a.wallet AND c.kind = a.kind
    AND c.occurred_at <= a.occurred_at + INTERVAL 5 MINUTE
    AND c.occurred_at >= a.occurred_at - CASE WHEN a.late_seconds IS NULL THEN INTERVAL 1 DAY ELSE INTERVAL 5 MINUTE END
LEFT JOIN wallet.ignored_events i
    ON i.pass_id = a.pass_id AND i.wallet = a.wallet AND i.kind = a.kind AND i.event_id = a.event_id
LEFT JOIN (
    SELECT DISTINCT m.pass_id, m.wallet, m.kind, m.event_id
    FROM arrived m
    JOIN raw.insights_events c
        ON c.pass_id = m.pass_id AND c.kind = m.kind AND c.wallet NOT IN ('apple', 'google')
        AND abs(date_diff('second', c.occurred_at, m.occurred_at)) <= 300
) n ON n.pass_id = a.pass_id AND n.wallet = a.wallet AND n.kind = a.kind AND n.event_id = a.event_id
