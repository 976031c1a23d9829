-- State of each pass in each wallet. Grain and key: pass_id, wallet. Times in UTC, microseconds.
-- Read by customer_wallet_status, installations, the reconciliation and analysts.
SELECT pass_id, wallet, installed, installed_at, changed_at, last_event, changed_at_inferred
FROM register_decisions
