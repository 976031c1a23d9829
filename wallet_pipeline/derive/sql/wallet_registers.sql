-- State of each pass in each wallet. Grain and key: pass_id, wallet. Times in UTC, microseconds.
-- Read by customer_wallet_status, adoption_daily and analysts.
WITH ordered AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY pass_id, wallet
            ORDER BY effective_at, NOT is_event, is_event AND NOT installed, if(is_event, piece_id, NULL), piece_at, piece_id
        ) AS nth
    FROM wallet_evidence
),
turns AS (
    SELECT
        *,
        coalesce(max(nth) FILTER (installed) OVER register, 0) AS last_installed,
        coalesce(max(nth) FILTER (NOT installed) OVER register, 0) AS last_absent
    FROM ordered
    WINDOW register AS (PARTITION BY pass_id, wallet)
),
summed AS (
    SELECT
        pass_id, wallet,
        last_installed > last_absent AS installed,
        last_installed > 0 AS seen_installed,
        coalesce(
            max_by(installed_at, nth) FILTER (nth > last_absent AND installed_at IS NOT NULL),
            min(piece_at) FILTER (nth > last_absent)
        ) AS installed_at,
        max_by(piece_at, nth) FILTER (nth > last_installed AND is_event) AS uninstalled_at,
        min_by(piece_at, nth) FILTER (nth > last_installed) AS first_absent_at
    FROM turns
    GROUP BY pass_id, wallet, last_installed, last_absent
)
SELECT
    pass_id, wallet, installed,
    CASE WHEN installed THEN installed_at END AS installed_at,
    CASE
        WHEN installed THEN installed_at
        ELSE coalesce(uninstalled_at, CASE WHEN seen_installed THEN first_absent_at END)
    END AS changed_at,
    CASE WHEN installed THEN 'installed' WHEN uninstalled_at IS NOT NULL OR seen_installed THEN 'uninstalled' END AS last_event,
    NOT installed AND uninstalled_at IS NULL AND seen_installed AS changed_at_inferred
FROM summed
