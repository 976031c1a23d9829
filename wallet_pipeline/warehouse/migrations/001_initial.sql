-- The tables of the warehouse. All times are UTC. No primary keys: uniqueness is an asset check.
CREATE SCHEMA raw;
CREATE SCHEMA wallet;
CREATE SCHEMA crm;
CREATE SCHEMA adoption;

CREATE TABLE raw.snapshots (
    snapshot_id VARCHAR, started_at TIMESTAMP, finished_at TIMESTAMP, complete BOOLEAN, verdict VARCHAR, reason VARCHAR,
    passes BIGINT, highest_total BIGINT, pages BIGINT, attempts BIGINT, clock VARCHAR, undated BIGINT, other_wallets BIGINT
);
COMMENT ON TABLE raw.snapshots IS 'One row per reading of the whole pass list. Key: snapshot_id. Times in UTC.';
COMMENT ON COLUMN raw.snapshots.snapshot_id IS 'Start time and our own clock''s microseconds; sorts by start.';
COMMENT ON COLUMN raw.snapshots.started_at IS 'Moment the snapshot speaks for: its start, UTC.';
COMMENT ON COLUMN raw.snapshots.finished_at IS 'When its last page had been read, UTC.';
COMMENT ON COLUMN raw.snapshots.complete IS 'True when the distinct ids reach the highest total that any page gave.';
COMMENT ON COLUMN raw.snapshots.verdict IS 'accepted: it is evidence. held: it stopped a run and is no evidence until approved.';
COMMENT ON COLUMN raw.snapshots.reason IS 'Why it was held, or that it was approved.';
COMMENT ON COLUMN raw.snapshots.passes IS 'Distinct passes listed.';
COMMENT ON COLUMN raw.snapshots.highest_total IS 'The highest x-pagination-total that any page gave.';
COMMENT ON COLUMN raw.snapshots.pages IS 'Pages read in the last attempt.';
COMMENT ON COLUMN raw.snapshots.attempts IS 'How often the list was read until it stood still.';
COMMENT ON COLUMN raw.snapshots.clock IS 'server: started_at is the Date header of the first page. own: our clock, because the header was missing or off by more than 5 minutes.';
COMMENT ON COLUMN raw.snapshots.undated IS 'Installed wallets whose date lies before 2000 or more than 5 minutes after the start.';
COMMENT ON COLUMN raw.snapshots.other_wallets IS 'Installation dates of wallets other than apple and google: counted, no evidence.';

CREATE TABLE raw.passes (
    pass_id VARCHAR, pass_type VARCHAR, created_at TIMESTAMP, identifiers VARCHAR,
    first_snapshot VARCHAR, last_snapshot VARCHAR
);
COMMENT ON TABLE raw.passes IS 'Passes as listed, stored as runs: one row per pass and stretch of consecutive snapshots that list it alike.';
COMMENT ON COLUMN raw.passes.pass_id IS 'Id of the pass at The Wallet Crew.';
COMMENT ON COLUMN raw.passes.pass_type IS 'Pass type as named by the tenant.';
COMMENT ON COLUMN raw.passes.created_at IS 'Creation date of the pass, UTC.';
COMMENT ON COLUMN raw.passes.identifiers IS 'Identifiers as a JSON object with sorted keys; an empty object when there are none.';
COMMENT ON COLUMN raw.passes.first_snapshot IS 'First snapshot of the stretch.';
COMMENT ON COLUMN raw.passes.last_snapshot IS 'Last snapshot of the stretch; null while the newest accepted snapshot still says so.';

CREATE TABLE raw.wallet_observations (
    pass_id VARCHAR, wallet VARCHAR, present BOOLEAN, installed_at TIMESTAMP,
    first_snapshot VARCHAR, last_snapshot VARCHAR
);
COMMENT ON TABLE raw.wallet_observations IS 'What snapshots say of each pass and wallet, stored as runs of equal observations of consecutive snapshots.';
COMMENT ON COLUMN raw.wallet_observations.pass_id IS 'Id of the pass.';
COMMENT ON COLUMN raw.wallet_observations.wallet IS 'apple or google.';
COMMENT ON COLUMN raw.wallet_observations.present IS 'Whether the pass is installed in the wallet.';
COMMENT ON COLUMN raw.wallet_observations.installed_at IS 'Installation date as given, UTC; null when not present.';
COMMENT ON COLUMN raw.wallet_observations.first_snapshot IS 'First snapshot of the run.';
COMMENT ON COLUMN raw.wallet_observations.last_snapshot IS 'Last snapshot of the run; null while the newest accepted snapshot still says so.';

CREATE TABLE raw.wallet_events (
    pass_id VARCHAR, wallet VARCHAR, kind VARCHAR, event_id VARCHAR, occurred_at TIMESTAMP, received_at TIMESTAMP,
    active_registrations BIGINT, pass_type VARCHAR, identifiers VARCHAR, source VARCHAR
);
COMMENT ON TABLE raw.wallet_events IS 'Deliveries of install and uninstall events, repetitions included.';
COMMENT ON COLUMN raw.wallet_events.pass_id IS 'Id of the pass.';
COMMENT ON COLUMN raw.wallet_events.wallet IS 'Wallet as named by the event; only apple and google are evidence.';
COMMENT ON COLUMN raw.wallet_events.kind IS 'installed or uninstalled.';
COMMENT ON COLUMN raw.wallet_events.event_id IS 'Id of the event; deliveries of one id are one event.';
COMMENT ON COLUMN raw.wallet_events.occurred_at IS 'When it happened, UTC.';
COMMENT ON COLUMN raw.wallet_events.received_at IS 'When the delivery arrived, UTC.';
COMMENT ON COLUMN raw.wallet_events.active_registrations IS 'Devices on which the pass is still registered, where the event says so.';
COMMENT ON COLUMN raw.wallet_events.pass_type IS 'Pass type, where the event carries it.';
COMMENT ON COLUMN raw.wallet_events.identifiers IS 'Identifiers as a JSON object with sorted keys, where the event carries them.';
COMMENT ON COLUMN raw.wallet_events.source IS 'webhook or connector.';

CREATE TABLE raw.insights_daily (
    day DATE, event_type VARCHAR, pass_type VARCHAR, wallet VARCHAR, events BIGINT, passes BIGINT
);
COMMENT ON TABLE raw.insights_daily IS 'Event counts of the Insights API. Grain: UTC day, event type, pass type, wallet.';
COMMENT ON COLUMN raw.insights_daily.day IS 'UTC day of the events.';
COMMENT ON COLUMN raw.insights_daily.event_type IS 'Pass:Installed, Pass:Uninstalled, Pass:Created, Pass:Updated.';
COMMENT ON COLUMN raw.insights_daily.pass_type IS 'Pass type; empty where the event names none.';
COMMENT ON COLUMN raw.insights_daily.wallet IS 'apple, google, or empty where the event names no device.';
COMMENT ON COLUMN raw.insights_daily.events IS 'Number of events.';
COMMENT ON COLUMN raw.insights_daily.passes IS 'Number of distinct passes that they concern.';

CREATE TABLE raw.insights_days (day DATE, fetched_at TIMESTAMP);
COMMENT ON TABLE raw.insights_days IS 'Days that were read from Insights, so that a day without events is known as zero. Key: day.';
COMMENT ON COLUMN raw.insights_days.day IS 'UTC day.';
COMMENT ON COLUMN raw.insights_days.fetched_at IS 'When it was last read, UTC.';

CREATE TABLE wallet.registers (
    pass_id VARCHAR, wallet VARCHAR, installed BOOLEAN, installed_at TIMESTAMP, changed_at TIMESTAMP,
    last_event VARCHAR, changed_at_inferred BOOLEAN
);
COMMENT ON TABLE wallet.registers IS 'State of each pass in each wallet. Key: pass_id, wallet. Times in UTC, microseconds.';
COMMENT ON COLUMN wallet.registers.pass_id IS 'Id of the pass.';
COMMENT ON COLUMN wallet.registers.wallet IS 'apple or google.';
COMMENT ON COLUMN wallet.registers.installed IS 'Whether the pass is installed in the wallet now.';
COMMENT ON COLUMN wallet.registers.installed_at IS 'Since when, UTC; null when not installed.';
COMMENT ON COLUMN wallet.registers.changed_at IS 'Time of the last install or uninstall, UTC; null when never installed.';
COMMENT ON COLUMN wallet.registers.last_event IS 'installed or uninstalled: the last transition; null when never installed.';
COMMENT ON COLUMN wallet.registers.changed_at_inferred IS 'True when changed_at is the start of the first snapshot without the installation, not an exact time.';

CREATE TABLE wallet.ignored_events (
    pass_id VARCHAR, wallet VARCHAR, kind VARCHAR, event_id VARCHAR, occurred_at TIMESTAMP, received_at TIMESTAMP,
    reason VARCHAR
);
COMMENT ON TABLE wallet.ignored_events IS 'Events that are kept but are no evidence, with the reason. Key: pass_id, wallet, kind, event_id.';
COMMENT ON COLUMN wallet.ignored_events.pass_id IS 'Id of the pass.';
COMMENT ON COLUMN wallet.ignored_events.wallet IS 'Wallet as named by the event.';
COMMENT ON COLUMN wallet.ignored_events.kind IS 'installed or uninstalled.';
COMMENT ON COLUMN wallet.ignored_events.event_id IS 'Id of the event.';
COMMENT ON COLUMN wallet.ignored_events.occurred_at IS 'When it says that it happened, UTC.';
COMMENT ON COLUMN wallet.ignored_events.received_at IS 'When it first arrived, UTC.';
COMMENT ON COLUMN wallet.ignored_events.reason IS 'unknown wallet, quarantined (dated more than 5 minutes after its receipt), or still registered on another device.';

CREATE TABLE wallet.pass_customers (
    pass_id VARCHAR, pass_type VARCHAR, created_at TIMESTAMP, resolution VARCHAR, customer_key VARCHAR,
    identifier_name VARCHAR, identifier_value VARCHAR, identifiers VARCHAR
);
COMMENT ON TABLE wallet.pass_customers IS 'To which customer each pass belongs. Key: pass_id.';
COMMENT ON COLUMN wallet.pass_customers.pass_id IS 'Id of the pass.';
COMMENT ON COLUMN wallet.pass_customers.pass_type IS 'Pass type by the newest evidence that carries one.';
COMMENT ON COLUMN wallet.pass_customers.created_at IS 'Creation date of the pass, UTC; null when it was never listed.';
COMMENT ON COLUMN wallet.pass_customers.resolution IS 'customer: belongs to customer_key. unmatched: bears no identifier. conflict: its identifier belongs to several customers.';
COMMENT ON COLUMN wallet.pass_customers.customer_key IS 'Key of the customer, name=value; null unless resolved.';
COMMENT ON COLUMN wallet.pass_customers.identifier_name IS 'Name of the best identifier that the pass bears.';
COMMENT ON COLUMN wallet.pass_customers.identifier_value IS 'Its value, normalised.';
COMMENT ON COLUMN wallet.pass_customers.identifiers IS 'All identifiers of the pass as a JSON object.';

CREATE TABLE wallet.pass_identifiers (
    pass_id VARCHAR, carried_at TIMESTAMP, rank INTEGER, name VARCHAR, is_email BOOLEAN, value VARCHAR
);
COMMENT ON TABLE wallet.pass_identifiers IS 'The identifiers of IDENTIFIER_ORDER that each pass bears, normalised. Key: pass_id, rank.';
COMMENT ON COLUMN wallet.pass_identifiers.pass_id IS 'Id of the pass.';
COMMENT ON COLUMN wallet.pass_identifiers.carried_at IS 'Time of the evidence that carries the identifiers, UTC.';
COMMENT ON COLUMN wallet.pass_identifiers.rank IS 'Place in IDENTIFIER_ORDER, from 1.';
COMMENT ON COLUMN wallet.pass_identifiers.name IS 'Name of the identifier.';
COMMENT ON COLUMN wallet.pass_identifiers.is_email IS 'Whether it is an e-mail address.';
COMMENT ON COLUMN wallet.pass_identifiers.value IS 'Its value, normalised.';

CREATE TABLE wallet.customer_wallet_status (
    customer_key VARCHAR, identifier_name VARCHAR, identifier_value VARCHAR, email VARCHAR, wallet_status VARCHAR,
    apple_wallet_installed_at TIMESTAMP, google_wallet_installed_at TIMESTAMP, wallet_last_changed_at TIMESTAMP,
    wallet_last_event VARCHAR, passes BIGINT, changed_at_inferred BOOLEAN
);
COMMENT ON TABLE wallet.customer_wallet_status IS 'Wallet status of every customer now. Key: customer_key. Times in UTC, milliseconds.';
COMMENT ON COLUMN wallet.customer_wallet_status.customer_key IS 'name=value of the identifier that keys the customer.';
COMMENT ON COLUMN wallet.customer_wallet_status.identifier_name IS 'Name of that identifier.';
COMMENT ON COLUMN wallet.customer_wallet_status.identifier_value IS 'Its value, normalised.';
COMMENT ON COLUMN wallet.customer_wallet_status.email IS 'E-mail that the customer''s passes bear, normalised; of several the one with the newest evidence.';
COMMENT ON COLUMN wallet.customer_wallet_status.wallet_status IS 'none, apple, google or both, over all the customer''s passes.';
COMMENT ON COLUMN wallet.customer_wallet_status.apple_wallet_installed_at IS 'Earliest installation in Apple Wallet of the passes now installed there, UTC; null when none is.';
COMMENT ON COLUMN wallet.customer_wallet_status.google_wallet_installed_at IS 'Earliest installation in Google Wallet of the passes now installed there, UTC; null when none is.';
COMMENT ON COLUMN wallet.customer_wallet_status.wallet_last_changed_at IS 'Newest install or uninstall of any of the customer''s passes, UTC; null when there never was one.';
COMMENT ON COLUMN wallet.customer_wallet_status.wallet_last_event IS 'installed or uninstalled: what happened then.';
COMMENT ON COLUMN wallet.customer_wallet_status.passes IS 'Number of the customer''s passes, passes gone from the list included.';
COMMENT ON COLUMN wallet.customer_wallet_status.changed_at_inferred IS 'True when wallet_last_changed_at is the start of the first snapshot without the installation, not an exact time.';

CREATE TABLE wallet.customer_status_changes (
    customer_key VARCHAR, wallet_status VARCHAR, apple_wallet_installed_at TIMESTAMP, google_wallet_installed_at TIMESTAMP,
    wallet_last_changed_at TIMESTAMP, wallet_last_event VARCHAR, valid_from TIMESTAMP, valid_to TIMESTAMP
);
COMMENT ON TABLE wallet.customer_status_changes IS 'Every version of a customer''s row with the interval in which it was held true. Key: customer_key, valid_from.';
COMMENT ON COLUMN wallet.customer_status_changes.customer_key IS 'Key of the customer.';
COMMENT ON COLUMN wallet.customer_status_changes.wallet_status IS 'none, apple, google or both.';
COMMENT ON COLUMN wallet.customer_status_changes.apple_wallet_installed_at IS 'Installation in Apple Wallet in this version, UTC.';
COMMENT ON COLUMN wallet.customer_status_changes.google_wallet_installed_at IS 'Installation in Google Wallet in this version, UTC.';
COMMENT ON COLUMN wallet.customer_status_changes.wallet_last_changed_at IS 'Last transition in this version, UTC.';
COMMENT ON COLUMN wallet.customer_status_changes.wallet_last_event IS 'installed or uninstalled in this version.';
COMMENT ON COLUMN wallet.customer_status_changes.valid_from IS 'When this version was derived, UTC.';
COMMENT ON COLUMN wallet.customer_status_changes.valid_to IS 'When another version, or none, took its place, UTC; null while it stands.';

CREATE TABLE wallet.unmatched_passes (pass_id VARCHAR, pass_type VARCHAR, identifiers VARCHAR, installed BOOLEAN);
COMMENT ON TABLE wallet.unmatched_passes IS 'Passes that bear none of the identifiers in IDENTIFIER_ORDER: in no customer. Key: pass_id.';
COMMENT ON COLUMN wallet.unmatched_passes.pass_id IS 'Id of the pass.';
COMMENT ON COLUMN wallet.unmatched_passes.pass_type IS 'Pass type.';
COMMENT ON COLUMN wallet.unmatched_passes.identifiers IS 'The identifiers that it does bear, as a JSON object.';
COMMENT ON COLUMN wallet.unmatched_passes.installed IS 'Whether it is installed in any wallet.';

CREATE TABLE wallet.identity_conflicts (
    kind VARCHAR, identifier_name VARCHAR, identifier_value VARCHAR, pass_id VARCHAR, customer_keys VARCHAR[]
);
COMMENT ON TABLE wallet.identity_conflicts IS 'Identifier values that several customers bear, and passes that no customer could be found for because of it.';
COMMENT ON COLUMN wallet.identity_conflicts.kind IS 'shared: the value is borne by several customers. conflict: the pass bears nothing better and is in no customer.';
COMMENT ON COLUMN wallet.identity_conflicts.identifier_name IS 'Name of the identifier.';
COMMENT ON COLUMN wallet.identity_conflicts.identifier_value IS 'Its value, normalised.';
COMMENT ON COLUMN wallet.identity_conflicts.pass_id IS 'The pass in conflict; null for a shared value.';
COMMENT ON COLUMN wallet.identity_conflicts.customer_keys IS 'The customers that bear the value.';

CREATE TABLE crm.links (
    customer_key VARCHAR, record_id VARCHAR, via VARCHAR, linked_at TIMESTAMP, departed_at TIMESTAMP
);
COMMENT ON TABLE crm.links IS 'Which CRM record holds which customer. Key: customer_key.';
COMMENT ON COLUMN crm.links.customer_key IS 'Key of the customer.';
COMMENT ON COLUMN crm.links.record_id IS 'Id of the CRM record.';
COMMENT ON COLUMN crm.links.via IS 'How it was found: customer_id, email or created.';
COMMENT ON COLUMN crm.links.linked_at IS 'When, UTC.';
COMMENT ON COLUMN crm.links.departed_at IS 'When the CRM was known to hold that no pass resolves to the customer any more, UTC; null for a customer.';

CREATE TABLE crm.plans (
    plan_id VARCHAR, plan_hash VARCHAR, planned_at TIMESTAMP, turning_to_none BIGINT, with_wallet BIGINT,
    admitted BOOLEAN, verdict VARCHAR
);
COMMENT ON TABLE crm.plans IS 'One row per plan made, with the verdict of the mass change check. Key: plan_id.';
COMMENT ON COLUMN crm.plans.plan_id IS 'Id of the plan.';
COMMENT ON COLUMN crm.plans.plan_hash IS 'Hash over what the plan sends; plans that send the same have the same.';
COMMENT ON COLUMN crm.plans.planned_at IS 'When the plan was begun, UTC.';
COMMENT ON COLUMN crm.plans.turning_to_none IS 'Customers with a wallet in the CRM whom the plan turns to none.';
COMMENT ON COLUMN crm.plans.with_wallet IS 'Customers whose wallet_status in the CRM was apple, google or both: the base of the mass change check.';
COMMENT ON COLUMN crm.plans.admitted IS 'Whether the plan may be sent: it is within the limits of a mass change, or was approved.';
COMMENT ON COLUMN crm.plans.verdict IS 'The figures in a sentence; for a plan that is not admitted also the next step.';

CREATE TABLE crm.plan (
    plan_id VARCHAR, plan_hash VARCHAR, planned_at TIMESTAMP, customer_key VARCHAR, customer_id VARCHAR,
    email VARCHAR, record_id VARCHAR, action VARCHAR, reason VARCHAR,
    held_wallet_status VARCHAR, wallet_status VARCHAR,
    held_apple_wallet_installed_at TIMESTAMP, apple_wallet_installed_at TIMESTAMP,
    held_google_wallet_installed_at TIMESTAMP, google_wallet_installed_at TIMESTAMP,
    held_wallet_last_changed_at TIMESTAMP, wallet_last_changed_at TIMESTAMP,
    held_wallet_last_event VARCHAR, wallet_last_event VARCHAR, position BIGINT
);
COMMENT ON TABLE crm.plan IS 'What the newest run means to do in the CRM: one row per customer that is not to be left alone. Key: customer_key.';
COMMENT ON COLUMN crm.plan.plan_id IS 'Id of the plan.';
COMMENT ON COLUMN crm.plan.plan_hash IS 'Hash over what the plan sends; an approval names it.';
COMMENT ON COLUMN crm.plan.planned_at IS 'When the plan was begun, UTC.';
COMMENT ON COLUMN crm.plan.customer_key IS 'Key of the customer.';
COMMENT ON COLUMN crm.plan.customer_id IS 'Value of the CRM''s customer property; null when another identifier keys the customer.';
COMMENT ON COLUMN crm.plan.email IS 'E-mail by which the customer may be found or created, normalised; null when several customers bear it.';
COMMENT ON COLUMN crm.plan.record_id IS 'CRM record; null when it is to be created.';
COMMENT ON COLUMN crm.plan.action IS 'update, link (first write to a record found), create, hold (nothing is written) or skip (the CRM does not know the customer).';
COMMENT ON COLUMN crm.plan.reason IS 'new, changed, drift, departed; for hold: why.';
COMMENT ON COLUMN crm.plan.held_wallet_status IS 'wallet_status that the CRM holds.';
COMMENT ON COLUMN crm.plan.wallet_status IS 'wallet_status that it shall hold.';
COMMENT ON COLUMN crm.plan.held_apple_wallet_installed_at IS 'apple_wallet_installed_at that the CRM holds, UTC.';
COMMENT ON COLUMN crm.plan.apple_wallet_installed_at IS 'apple_wallet_installed_at that it shall hold, UTC.';
COMMENT ON COLUMN crm.plan.held_google_wallet_installed_at IS 'google_wallet_installed_at that the CRM holds, UTC.';
COMMENT ON COLUMN crm.plan.google_wallet_installed_at IS 'google_wallet_installed_at that it shall hold, UTC.';
COMMENT ON COLUMN crm.plan.held_wallet_last_changed_at IS 'wallet_last_changed_at that the CRM holds, UTC.';
COMMENT ON COLUMN crm.plan.wallet_last_changed_at IS 'wallet_last_changed_at that it shall hold, UTC.';
COMMENT ON COLUMN crm.plan.held_wallet_last_event IS 'wallet_last_event that the CRM holds.';
COMMENT ON COLUMN crm.plan.wallet_last_event IS 'wallet_last_event that it shall hold.';
COMMENT ON COLUMN crm.plan.position IS 'Place in the order of sending, from 1; null for hold and skip.';

CREATE TABLE crm.deliveries (
    delivery_id VARCHAR, plan_id VARCHAR, customer_key VARCHAR, record_id VARCHAR, action VARCHAR, reason VARCHAR,
    wallet_status VARCHAR, apple_wallet_installed_at TIMESTAMP, google_wallet_installed_at TIMESTAMP,
    wallet_last_changed_at TIMESTAMP, wallet_last_event VARCHAR,
    intended_at TIMESTAMP, accepted_at TIMESTAMP, verified_at TIMESTAMP, outcome VARCHAR, error_class VARCHAR, message VARCHAR
);
COMMENT ON TABLE crm.deliveries IS 'Ledger of what was sent to the CRM: one row per customer and attempt. Key: delivery_id. History, never compared with.';
COMMENT ON COLUMN crm.deliveries.delivery_id IS 'Id of the attempt.';
COMMENT ON COLUMN crm.deliveries.plan_id IS 'The plan that it belongs to.';
COMMENT ON COLUMN crm.deliveries.customer_key IS 'Key of the customer.';
COMMENT ON COLUMN crm.deliveries.record_id IS 'CRM record, once known.';
COMMENT ON COLUMN crm.deliveries.action IS 'update, link or create.';
COMMENT ON COLUMN crm.deliveries.reason IS 'new, changed, drift or departed.';
COMMENT ON COLUMN crm.deliveries.wallet_status IS 'Value intended.';
COMMENT ON COLUMN crm.deliveries.apple_wallet_installed_at IS 'Value intended, UTC.';
COMMENT ON COLUMN crm.deliveries.google_wallet_installed_at IS 'Value intended, UTC.';
COMMENT ON COLUMN crm.deliveries.wallet_last_changed_at IS 'Value intended, UTC.';
COMMENT ON COLUMN crm.deliveries.wallet_last_event IS 'Value intended.';
COMMENT ON COLUMN crm.deliveries.intended_at IS 'Booked before the request was sent, UTC.';
COMMENT ON COLUMN crm.deliveries.accepted_at IS 'When the CRM answered, or showed, that it took it, UTC; null when nothing was sent or taken.';
COMMENT ON COLUMN crm.deliveries.verified_at IS 'When reading the record showed the intended values, UTC; without accepted_at it held them before anything was sent.';
COMMENT ON COLUMN crm.deliveries.outcome IS 'intended, verified, rejected, unverified (read back differs), conflict (record of another customer) or unknown (no answer).';
COMMENT ON COLUMN crm.deliveries.error_class IS 'data, identity, config, quota or transient; null when verified.';
COMMENT ON COLUMN crm.deliveries.message IS 'What the CRM said, without personal data.';

CREATE TABLE crm.drift (
    customer_key VARCHAR, record_id VARCHAR, field VARCHAR, expected VARCHAR, found VARCHAR, found_at TIMESTAMP, repaired_at TIMESTAMP
);
COMMENT ON TABLE crm.drift IS 'Fields that somebody else changed in the CRM after they had been verified. Grain: record, field, discovery.';
COMMENT ON COLUMN crm.drift.customer_key IS 'Key of the customer.';
COMMENT ON COLUMN crm.drift.record_id IS 'CRM record.';
COMMENT ON COLUMN crm.drift.field IS 'Name of the field.';
COMMENT ON COLUMN crm.drift.expected IS 'Value last verified.';
COMMENT ON COLUMN crm.drift.found IS 'Value found.';
COMMENT ON COLUMN crm.drift.found_at IS 'When it was found, UTC.';
COMMENT ON COLUMN crm.drift.repaired_at IS 'When the CRM was read to hold the truth again, UTC; null until then.';

CREATE TABLE crm.rejections (
    customer_key VARCHAR, record_id VARCHAR, error_class VARCHAR, message VARCHAR, next_step VARCHAR,
    first_at TIMESTAMP, last_at TIMESTAMP, attempts BIGINT
);
COMMENT ON TABLE crm.rejections IS 'Customers whose truth the CRM does not hold, with the reason. Key: customer_key.';
COMMENT ON COLUMN crm.rejections.customer_key IS 'Key of the customer.';
COMMENT ON COLUMN crm.rejections.record_id IS 'CRM record, where one is known.';
COMMENT ON COLUMN crm.rejections.error_class IS 'data, identity, config, quota or transient.';
COMMENT ON COLUMN crm.rejections.message IS 'What is wrong.';
COMMENT ON COLUMN crm.rejections.next_step IS 'What to do about it.';
COMMENT ON COLUMN crm.rejections.first_at IS 'First seen, UTC.';
COMMENT ON COLUMN crm.rejections.last_at IS 'Last seen, UTC.';
COMMENT ON COLUMN crm.rejections.attempts IS 'Number of runs that met it.';

CREATE TABLE adoption.adoption_daily (
    day DATE, pass_type VARCHAR, wallet VARCHAR, installs BIGINT, uninstalls BIGINT, net BIGINT,
    installs_7d_mean DOUBLE, uninstalls_7d_mean DOUBLE, installed_passes BIGINT
);
COMMENT ON TABLE adoption.adoption_daily IS 'Installs and uninstalls. Grain: UTC day, pass type, wallet; days without events are rows of zeros.';
COMMENT ON COLUMN adoption.adoption_daily.day IS 'UTC day.';
COMMENT ON COLUMN adoption.adoption_daily.pass_type IS 'Pass type.';
COMMENT ON COLUMN adoption.adoption_daily.wallet IS 'apple or google.';
COMMENT ON COLUMN adoption.adoption_daily.installs IS 'Install events of the day by Insights, further devices included.';
COMMENT ON COLUMN adoption.adoption_daily.uninstalls IS 'Uninstall events of the day by Insights, single devices included.';
COMMENT ON COLUMN adoption.adoption_daily.net IS 'installs - uninstalls.';
COMMENT ON COLUMN adoption.adoption_daily.installs_7d_mean IS 'Mean of installs over the day and the six before it, as far as they were read.';
COMMENT ON COLUMN adoption.adoption_daily.uninstalls_7d_mean IS 'Mean of uninstalls over the day and the six before it, as far as they were read.';
COMMENT ON COLUMN adoption.adoption_daily.installed_passes IS 'Passes installed at the end of the day: the count of wallet_registers now, less the passes that changed since; null before a day that was not read.';
