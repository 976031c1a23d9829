-- Deliveries that were taken over from the inbox, and what they touch. All times are UTC.
ALTER TABLE raw.wallet_events ADD COLUMN delivery_id BIGINT;
ALTER TABLE raw.wallet_events ADD COLUMN time_is_receipt BOOLEAN;
COMMENT ON COLUMN raw.wallet_events.delivery_id IS 'The delivery in the inbox that said so.';
COMMENT ON COLUMN raw.wallet_events.time_is_receipt IS 'True when the event carries no time and occurred_at is the time of receipt.';

CREATE TABLE raw.unusable_deliveries (delivery_id BIGINT, received_at TIMESTAMP, source VARCHAR, reason VARCHAR);
COMMENT ON TABLE raw.unusable_deliveries IS 'Deliveries that were accepted but say nothing of an install or uninstall that could be understood. Their bodies stay in the inbox; wallet-pipeline replay reads them again. Key: delivery_id.';
COMMENT ON COLUMN raw.unusable_deliveries.delivery_id IS 'The delivery in the inbox.';
COMMENT ON COLUMN raw.unusable_deliveries.received_at IS 'When it arrived, UTC.';
COMMENT ON COLUMN raw.unusable_deliveries.source IS 'webhook or connector.';
COMMENT ON COLUMN raw.unusable_deliveries.reason IS 'What could not be understood.';

CREATE TABLE raw.inbox_cursor (delivery_id BIGINT);
INSERT INTO raw.inbox_cursor VALUES (0);
COMMENT ON TABLE raw.inbox_cursor IS 'Up to which delivery the inbox has been taken over: one row, written with the rows that it speaks of.';
COMMENT ON COLUMN raw.inbox_cursor.delivery_id IS 'The last delivery that was taken over; 0 before the first.';

CREATE TABLE raw.touched_passes (pass_id VARCHAR);
COMMENT ON TABLE raw.touched_passes IS 'Passes with events that were taken over, or read anew, since the statuses were derived.';
COMMENT ON COLUMN raw.touched_passes.pass_id IS 'Id of the pass.';

CREATE SEQUENCE wallet.change_numbers;
CREATE TABLE wallet.changed_customers (customer_key VARCHAR, number BIGINT, changed_at TIMESTAMP, retry_at TIMESTAMP);
COMMENT ON TABLE wallet.changed_customers IS 'Customers whom events concern and whom the CRM has not been compared with since. One row per derivation.';
COMMENT ON COLUMN wallet.changed_customers.customer_key IS 'Key of the customer.';
COMMENT ON COLUMN wallet.changed_customers.number IS 'Number of the change: later ones are greater.';
COMMENT ON COLUMN wallet.changed_customers.changed_at IS 'When the new row was derived, UTC.';
COMMENT ON COLUMN wallet.changed_customers.retry_at IS 'When to try again, UTC, after the CRM gave no answer; null before.';

ALTER TABLE crm.plans ADD COLUMN scope VARCHAR;
ALTER TABLE crm.plans ADD COLUMN changes_until BIGINT;
UPDATE crm.plans SET scope = 'all', changes_until = 0;
COMMENT ON COLUMN crm.plans.scope IS 'all: a plan of all customers. changes: of those whom events have changed.';
COMMENT ON COLUMN crm.plans.changes_until IS 'Number of the last change in wallet.changed_customers that the plan knows.';
COMMENT ON TABLE crm.plan IS 'What is meant to be done in the CRM, by the newest plan of all customers and the newest of changes: one row per customer that is not to be left alone. Key: customer_key.';

CREATE TABLE wallet.event_arrivals (
    day DATE, wallet VARCHAR, kind VARCHAR, insights_events BIGINT, arrived_events BIGINT, complete BOOLEAN,
    missing_share DOUBLE, late_p50_seconds DOUBLE, late_p99_seconds DOUBLE
);
COMMENT ON TABLE wallet.event_arrivals IS 'Events that Insights counted, and how many of them were delivered to us and how late, from the day of the first delivery on. Key: day, wallet, kind.';
COMMENT ON COLUMN wallet.event_arrivals.day IS 'UTC day on which the events happened.';
COMMENT ON COLUMN wallet.event_arrivals.wallet IS 'apple or google.';
COMMENT ON COLUMN wallet.event_arrivals.kind IS 'installed or uninstalled.';
COMMENT ON COLUMN wallet.event_arrivals.insights_events IS 'Events of the day as Insights counted them.';
COMMENT ON COLUMN wallet.event_arrivals.arrived_events IS 'Events of the day that were delivered, each counted once. Those without a time of their own count on the day of receipt. More than insights_events where webhook and connector both tell of an event.';
COMMENT ON COLUMN wallet.event_arrivals.complete IS 'True when the day can be judged: deliveries came before it began, and Insights was read after it ended.';
COMMENT ON COLUMN wallet.event_arrivals.missing_share IS 'Share of the events that never arrived, 0 to 1; null while the day is not complete, or when Insights counted none.';
COMMENT ON COLUMN wallet.event_arrivals.late_p50_seconds IS 'Half of the events were received within so many seconds of happening. Only events with a time of their own; negative where the sender''s clock is ahead.';
COMMENT ON COLUMN wallet.event_arrivals.late_p99_seconds IS 'The same for 99 % of the events.';
