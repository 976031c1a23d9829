-- Events of $passes passes of 20 types over $days days until $until, more and more of them, as Insights would have them: created,
-- installed in one wallet or both, removed, come back, some updated. Grain: event. Read by backfill.py, into the sandbox's Events.
WITH passes AS (
    SELECT
        n,
        'pass-' || n AS pass_id,
        'type ' || n % 20 AS pass_type,
        $until - to_microseconds((86400e6 * $days * (1 - sqrt(hash(n, 'created') / 2e0 ** 64)))::BIGINT) AS created_at
    FROM range($passes) numbers (n)
),
registers AS (
    SELECT
        n, pass_id, pass_type, wallet, created_at,
        created_at + to_microseconds((86400e6 * 60 * (hash(n, wallet, 'installed') / 2e0 ** 64) ** 4)::BIGINT + 1) AS installed_at,
        hash(n, wallet, 'fate') % 100 AS fate
    FROM passes, (VALUES ('apple', 0, 55), ('google', 45, 80)) wallets (wallet, low, high)
    WHERE hash(n, 'wallets') % 100 BETWEEN low AND high - 1
),
ends AS (
    SELECT *, installed_at + to_microseconds((86400e6 * 400 * (hash(n, wallet, 'removed') / 2e0 ** 64) ** 2)::BIGINT + 1) AS removed_at
    FROM registers
    WHERE fate < 35
),
events AS (
    SELECT created_at AS moment, 'Pass:Created' AS event_type, pass_id, pass_type, NULL AS wallet FROM passes
    UNION ALL
    SELECT created_at + INTERVAL 3 DAY, 'Pass:Updated', pass_id, pass_type, NULL FROM passes WHERE n % 5 = 0
    UNION ALL
    SELECT installed_at, 'Pass:Installed', pass_id, pass_type, wallet FROM registers
    UNION ALL
    SELECT removed_at, 'Pass:Uninstalled', pass_id, pass_type, wallet FROM ends
    UNION ALL
    SELECT removed_at + INTERVAL 5 HOUR, 'Pass:Installed', pass_id, pass_type, wallet FROM ends WHERE fate < 10
)
SELECT
    uuid() AS "eventId", moment AS timestamp, 'sandbox-tenant' AS "tenantId", event_type AS "eventType", 'history' AS "operationId",
    json_object('passId', pass_id, 'passType', pass_type, 'device', wallet) AS properties
FROM events
WHERE moment < $until
ORDER BY moment
