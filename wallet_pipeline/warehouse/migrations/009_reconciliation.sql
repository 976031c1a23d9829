-- The daily certificate: whether Pass API, inbox, Insights and CRM say the same. All times are UTC.
CREATE TABLE crm.holdings (
    customer_key VARCHAR, record_id VARCHAR, wallet_status VARCHAR, apple_wallet_installed_at TIMESTAMP,
    google_wallet_installed_at TIMESTAMP, read_at TIMESTAMP
);
COMMENT ON TABLE crm.holdings IS 'What the CRM held of each customer when a plan read it last. Key: customer_key. Customers without a record of their own have no row. What was written since is in crm.deliveries.';
COMMENT ON COLUMN crm.holdings.customer_key IS 'Key of the customer.';
COMMENT ON COLUMN crm.holdings.record_id IS 'CRM record.';
COMMENT ON COLUMN crm.holdings.wallet_status IS 'wallet_status as found.';
COMMENT ON COLUMN crm.holdings.apple_wallet_installed_at IS 'apple_wallet_installed_at as found, UTC.';
COMMENT ON COLUMN crm.holdings.google_wallet_installed_at IS 'google_wallet_installed_at as found, UTC.';
COMMENT ON COLUMN crm.holdings.read_at IS 'When the plan that read it was begun, UTC.';

CREATE TABLE wallet.reconciliation (
    day DATE, wallet VARCHAR, verdict VARCHAR, differences BIGINT, unexplained BIGINT, newly_unexplained BIGINT,
    pass_api_installed BIGINT, registers_installed BIGINT, insights_installed BIGINT, customers_installed BIGINT, crm_installed BIGINT,
    unmatched_passes BIGINT, conflict_passes BIGINT, held_customers BIGINT,
    pass_api_installs BIGINT, insights_installs BIGINT, insights_uninstalls BIGINT, inbox_installs BIGINT, inbox_uninstalls BIGINT,
    lost_events BIGINT, late_p50_seconds DOUBLE, late_p99_seconds DOUBLE,
    verified_changes BIGINT, verified_p50_seconds DOUBLE, verified_p99_seconds DOUBLE,
    drift_found BIGINT, drift_repaired BIGINT,
    listed_at TIMESTAMP, certified_at TIMESTAMP
);
COMMENT ON TABLE wallet.reconciliation IS 'Certificate of each day: what Pass API, inbox, Insights and CRM say, and whether they agree. Key: day, wallet. Days that are over and of which Insights was read whole, from the last one before the first accepted snapshot on.';
COMMENT ON COLUMN wallet.reconciliation.day IS 'Day in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN wallet.reconciliation.wallet IS 'apple or google.';
COMMENT ON COLUMN wallet.reconciliation.verdict IS 'agree: no difference. explained: each difference has a reason in reconciliation_reasons. not explained: at least one has none. not compared: no list was taken in time after the day, so that its events alone were compared.';
COMMENT ON COLUMN wallet.reconciliation.differences IS 'Number of differences.';
COMMENT ON COLUMN wallet.reconciliation.unexplained IS 'Of these: without a reason that is known.';
COMMENT ON COLUMN wallet.reconciliation.newly_unexplained IS 'Of these: not found without a reason on the day certified before.';
COMMENT ON COLUMN wallet.reconciliation.pass_api_installed IS 'Passes installed by the list of listed_at. This and the other numbers of what is installed are of the first day on which they could be counted, and null while the verdict is not compared.';
COMMENT ON COLUMN wallet.reconciliation.registers_installed IS 'Passes installed by wallet_registers.';
COMMENT ON COLUMN wallet.reconciliation.insights_installed IS 'Passes installed by the last word of Insights about each.';
COMMENT ON COLUMN wallet.reconciliation.customers_installed IS 'Customers who have the wallet, by customer_wallet_status.';
COMMENT ON COLUMN wallet.reconciliation.crm_installed IS 'CRM records of customers that say that they have the wallet, as they were read last; null when they never were. A record that belongs to another customer counts for that one alone.';
COMMENT ON COLUMN wallet.reconciliation.unmatched_passes IS 'Passes installed that are in no customer, because they bear no identifier.';
COMMENT ON COLUMN wallet.reconciliation.conflict_passes IS 'Passes installed that are in no customer, because their identifier belongs to several.';
COMMENT ON COLUMN wallet.reconciliation.held_customers IS 'Customers of whom the CRM holds otherwise, and to whom nothing is written for a reason of the rules.';
COMMENT ON COLUMN wallet.reconciliation.pass_api_installs IS 'Passes that a list showed as installed since a moment of the day.';
COMMENT ON COLUMN wallet.reconciliation.insights_installs IS 'Install events of the day by Insights, further devices included.';
COMMENT ON COLUMN wallet.reconciliation.insights_uninstalls IS 'Uninstall events of the day by Insights, single devices included.';
COMMENT ON COLUMN wallet.reconciliation.inbox_installs IS 'Install events of the day that were delivered, each once; null when nothing was ever delivered before the day.';
COMMENT ON COLUMN wallet.reconciliation.inbox_uninstalls IS 'The same for uninstall events.';
COMMENT ON COLUMN wallet.reconciliation.lost_events IS 'Events of the day by Insights that were not delivered, so far; null when nothing was ever delivered before the day.';
COMMENT ON COLUMN wallet.reconciliation.late_p50_seconds IS 'Half of the events delivered were received within so many seconds of happening. Only events with a time of their own.';
COMMENT ON COLUMN wallet.reconciliation.late_p99_seconds IS 'The same for 99 % of them.';
COMMENT ON COLUMN wallet.reconciliation.verified_changes IS 'Events of the day, by Insights or the inbox, whose time the CRM was verified to hold.';
COMMENT ON COLUMN wallet.reconciliation.verified_p50_seconds IS 'Half of these were verified in the CRM within so many seconds of happening.';
COMMENT ON COLUMN wallet.reconciliation.verified_p99_seconds IS 'The same for 99 % of them.';
COMMENT ON COLUMN wallet.reconciliation.drift_found IS 'Customers of whom drift that concerns the wallet was found on the day; the last change, the last event and the customer property concern both wallets.';
COMMENT ON COLUMN wallet.reconciliation.drift_repaired IS 'Customers of whom such drift was put right on the day.';
COMMENT ON COLUMN wallet.reconciliation.listed_at IS 'Start of the list that the numbers of what is installed go by, UTC.';
COMMENT ON COLUMN wallet.reconciliation.certified_at IS 'When the certificate was issued last, UTC: a day''s events are compared anew as long as it is one of the seven newest.';

CREATE TABLE wallet.reconciliation_reasons (
    day DATE, wallet VARCHAR, comparison VARCHAR, explanation VARCHAR, differences BIGINT
);
COMMENT ON TABLE wallet.reconciliation_reasons IS 'How many differences the certificates found, by reason. Key: day, wallet, comparison, explanation.';
COMMENT ON COLUMN wallet.reconciliation_reasons.day IS 'Day in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN wallet.reconciliation_reasons.wallet IS 'apple or google.';
COMMENT ON COLUMN wallet.reconciliation_reasons.comparison IS 'What differs: delivery (an event that Insights or the inbox lacks), list (Pass API and registers), insights (Insights and registers) or crm (customers and CRM).';
COMMENT ON COLUMN wallet.reconciliation_reasons.explanation IS 'Why that is so; null when it is not known.';
COMMENT ON COLUMN wallet.reconciliation_reasons.differences IS 'Number of differences.';

CREATE TABLE wallet.reconciliation_differences (
    day DATE, wallet VARCHAR, comparison VARCHAR, explanation VARCHAR, pass_id VARCHAR, customer_key VARCHAR,
    difference VARCHAR, happened_at TIMESTAMP, since DATE
);
COMMENT ON TABLE wallet.reconciliation_differences IS 'Every difference that the certificates of the last 31 days found. Grain: day, wallet, comparison, pass or customer, event.';
COMMENT ON COLUMN wallet.reconciliation_differences.day IS 'Day in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN wallet.reconciliation_differences.wallet IS 'apple or google.';
COMMENT ON COLUMN wallet.reconciliation_differences.comparison IS 'As in reconciliation_reasons.';
COMMENT ON COLUMN wallet.reconciliation_differences.explanation IS 'Why that is so; null when it is not known.';
COMMENT ON COLUMN wallet.reconciliation_differences.pass_id IS 'The pass; null where customers and CRM differ.';
COMMENT ON COLUMN wallet.reconciliation_differences.customer_key IS 'The customer; null where the pass is in none.';
COMMENT ON COLUMN wallet.reconciliation_differences.difference IS 'Who says what.';
COMMENT ON COLUMN wallet.reconciliation_differences.happened_at IS 'Time of the event, or of the newest change by the registers or the customer''s row, UTC; null where there is none.';
COMMENT ON COLUMN wallet.reconciliation_differences.since IS 'Since which day the same is found by each certificate; of the last 31 days.';
