-- A warehouse as a first sync leaves it: linked customers whose state was told and verified. Times in UTC.
-- Variables: contacts, first_id (of the CRM's record ids, which follow the customers' numbers), now. Run by crm_world.
CREATE TEMP TABLE states AS
SELECT
    n,
    'customerId=C-' || n AS customer_key,
    'C-' || n AS customer_id,
    (getvariable('first_id') + n)::VARCHAR AS record_id,
    ['none', 'apple', 'google', 'both'][1 + (hash(n) % 4)::BIGINT] AS wallet_status,
    getvariable('now') - INTERVAL 30 DAY + to_seconds(n) AS moment
FROM range(getvariable('contacts')) t(n);

INSERT INTO wallet.customer_wallet_status BY NAME
SELECT
    customer_key, 'customerId' AS identifier_name, customer_id AS identifier_value, 'c' || n || '@x.test' AS email,
    wallet_status,
    CASE WHEN wallet_status IN ('apple', 'both') THEN moment END AS apple_wallet_installed_at,
    CASE WHEN wallet_status IN ('google', 'both') THEN moment END AS google_wallet_installed_at,
    moment AS wallet_last_changed_at,
    CASE wallet_status WHEN 'none' THEN 'uninstalled' ELSE 'installed' END AS wallet_last_event,
    1 AS passes, FALSE AS changed_at_inferred
FROM states;

INSERT INTO wallet.customer_status_changes BY NAME
SELECT * EXCLUDE (identifier_name, identifier_value, email, passes, changed_at_inferred), wallet_last_changed_at AS valid_from
FROM wallet.customer_wallet_status;

INSERT INTO crm.links BY NAME
SELECT customer_key, record_id, 'customer_id' AS via, getvariable('now') - INTERVAL 1 DAY AS linked_at FROM states;

INSERT INTO crm.plans BY NAME
SELECT
    'first' AS plan_id, 'first' AS plan_hash, getvariable('now') - INTERVAL 1 DAY AS planned_at, TRUE AS admitted,
    'all' AS scope;

INSERT INTO crm.deliveries BY NAME
SELECT
    uuid()::VARCHAR AS delivery_id, 'first' AS plan_id, s.customer_key, l.record_id, 'link' AS action, 'new' AS reason,
    s.wallet_status, s.apple_wallet_installed_at, s.google_wallet_installed_at, s.wallet_last_changed_at,
    s.wallet_last_event, linked_at AS intended_at, linked_at AS accepted_at, linked_at AS verified_at, 'verified' AS outcome
FROM wallet.customer_wallet_status s
JOIN crm.links l USING (customer_key);
