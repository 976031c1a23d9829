-- State of each pass in each wallet, and which pieces of ordered_evidence, by nth, it comes from. Grain and key: pass_id,
-- wallet. Times in UTC, microseconds. decided_by says whether the pass is installed, timed_by when that came to be; proved_by
-- shows the installation whose end nobody told. rule names the way. Read by wallet_registers and by explain.
WITH turns AS (
    SELECT
        *,
        coalesce(max(nth) FILTER (installed) OVER register, 0) AS last_installed,
        coalesce(max(nth) FILTER (NOT installed) OVER register, 0) AS last_absent
    FROM ordered_evidence
    WINDOW register AS (PARTITION BY pass_id, wallet)
),
summed AS (
    SELECT
        pass_id, wallet, last_installed,
        last_installed > last_absent AS installed,
        last_installed > 0 AS seen_installed,
        max(nth) AS newest,
        max_by(installed_at, nth) FILTER (nth > last_absent AND installed_at IS NOT NULL) AS dated_at,
        max(nth) FILTER (nth > last_absent AND installed_at IS NOT NULL) AS dated_by,
        min(piece_at) FILTER (nth > last_absent) AS earliest_at,
        min_by(nth, (piece_at, nth)) FILTER (nth > last_absent) AS earliest_by,
        max_by(piece_at, nth) FILTER (nth > last_installed AND is_event) AS uninstalled_at,
        max(nth) FILTER (nth > last_installed AND is_event) AS uninstalled_by,
        min_by(piece_at, nth) FILTER (nth > last_installed) AS first_absent_at,
        min(nth) FILTER (nth > last_installed) AS first_absent_by
    FROM turns
    GROUP BY pass_id, wallet, last_installed, last_absent
),
ruled AS (
    SELECT
        *,
        CASE
            WHEN installed AND dated_at IS NOT NULL THEN 'installed, dated'
            WHEN installed THEN 'installed, undated'
            WHEN uninstalled_at IS NOT NULL THEN 'uninstalled, told'
            WHEN seen_installed THEN 'uninstalled, inferred'
            ELSE 'never installed'
        END AS rule
    FROM summed
)
SELECT
    pass_id, wallet, installed,
    CASE rule WHEN 'installed, dated' THEN dated_at WHEN 'installed, undated' THEN earliest_at END AS installed_at,
    CASE rule
        WHEN 'installed, dated' THEN dated_at
        WHEN 'installed, undated' THEN earliest_at
        WHEN 'uninstalled, told' THEN uninstalled_at
        WHEN 'uninstalled, inferred' THEN first_absent_at
    END AS changed_at,
    CASE WHEN installed THEN 'installed' WHEN rule <> 'never installed' THEN 'uninstalled' END AS last_event,
    rule = 'uninstalled, inferred' AS changed_at_inferred,
    rule,
    newest AS decided_by,
    CASE rule
        WHEN 'installed, dated' THEN dated_by
        WHEN 'installed, undated' THEN earliest_by
        WHEN 'uninstalled, told' THEN uninstalled_by
        WHEN 'uninstalled, inferred' THEN first_absent_by
    END AS timed_by,
    CASE WHEN rule = 'uninstalled, inferred' THEN last_installed END AS proved_by
FROM ruled
