-- Days whose certificate is issued now: days that are over and of which Insights was read whole, from the last one before the first
-- accepted snapshot on; the seven newest, for late events change them, and any that has none yet. Grain and key: day, in the time
-- zone of the calendar; the bounds in UTC. is_counted: what is installed is counted for it now, by the first list that was begun
-- after its end, or another one of that UTC date. has_inbox: deliveries came before it began. Read by the reconciliation's tables.
WITH whole AS (
    SELECT c.day, c.starts_at, c.ends_at, min(d.fetched_at) AS fetched_at
    FROM adoption.calendar c
    JOIN raw.insights_days d ON d.day BETWEEN c.starts_at::DATE AND (c.ends_at - INTERVAL 1 MICROSECOND)::DATE
    WHERE c.is_over
        AND c.ends_at > (SELECT min(started_at) FROM raw.snapshots WHERE verdict = 'accepted') - INTERVAL 1 DAY
    GROUP BY c.day, c.starts_at, c.ends_at
    HAVING bool_and(d.fetched_at >= least(c.ends_at, d.day + INTERVAL 1 DAY))
        AND count(*) = date_diff('day', c.starts_at::DATE, (c.ends_at - INTERVAL 1 MICROSECOND)::DATE) + 1
),
first_delivery AS (
    SELECT min(received_at) AS received_at
    FROM (SELECT received_at FROM raw.wallet_events UNION ALL SELECT received_at FROM raw.unusable_deliveries)
)
SELECT
    w.day, w.starts_at, w.ends_at, w.fetched_at,
    row_number() OVER (ORDER BY w.day DESC) = 1
        AND w.ends_at <= l.started_at
        AND coalesce(o.listed_at::DATE = l.started_at::DATE, TRUE) AS is_counted,
    coalesce((SELECT received_at FROM first_delivery) < w.starts_at, FALSE) AS has_inbox
FROM whole w
CROSS JOIN (SELECT max(started_at) AS started_at FROM raw.snapshots WHERE verdict = 'accepted') l
LEFT JOIN (SELECT day, any_value(listed_at) AS listed_at FROM wallet.reconciliation GROUP BY day) o ON o.day = w.day
QUALIFY row_number() OVER (ORDER BY w.day DESC) <= 7 OR w.day NOT IN (SELECT day FROM wallet.reconciliation)
