-- The evidence of each register in the order of the rules: the greater nth is the newer. Grain: pass_id, wallet, piece;
-- key: pass_id, wallet, nth. Times in UTC. Read by register_decisions and by explain.
SELECT
    *,
    row_number() OVER (
        PARTITION BY pass_id, wallet
        ORDER BY effective_at, NOT is_event, is_event AND NOT installed, if(is_event, piece_id, NULL), piece_at, piece_id
    ) AS nth
FROM wallet_evidence
