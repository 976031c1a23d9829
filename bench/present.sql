-- The stages before the trends, as raw.insights_events leaves them: registers, one customer a pass, and two versions of each
-- customer who ever installed. Run by backfill.py.
CREATE TEMP TABLE last_events AS
SELECT pass_id, wallet, max_by(kind, occurred_at) = 'installed' AS installed, max(occurred_at) AS changed_at
FROM raw.insights_events
WHERE kind <> 'created'
GROUP BY ALL;
INSERT INTO wallet.registers
SELECT pass_id, wallet, installed, CASE WHEN installed THEN changed_at END, changed_at, if(installed, 'installed', 'uninstalled'), FALSE
FROM last_events;
INSERT INTO wallet.pass_customers BY NAME
SELECT pass_id, pass_type, occurred_at AS created_at, 'customer' AS resolution, pass_id AS customer_key
FROM raw.insights_events
WHERE kind = 'created';
INSERT INTO wallet.customer_status_changes BY NAME
SELECT customer_key, 'none' AS wallet_status, created_at AS valid_from, changed_at AS valid_to
FROM wallet.pass_customers JOIN (SELECT pass_id, min(changed_at) AS changed_at FROM last_events GROUP BY ALL) USING (pass_id)
UNION ALL BY NAME
SELECT pass_id AS customer_key, any_value(wallet) AS wallet_status, min(changed_at) AS valid_from FROM last_events GROUP BY ALL;
