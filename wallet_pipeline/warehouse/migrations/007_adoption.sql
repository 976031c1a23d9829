-- Adoption over time: the events of passes as Insights keeps them, what follows from them, and the calendar they are counted by.
CREATE TABLE raw.insights_events (
    occurred_at TIMESTAMP, kind VARCHAR, pass_id VARCHAR, pass_type VARCHAR, wallet VARCHAR
);
COMMENT ON TABLE raw.insights_events IS 'Creations, installs and uninstalls of passes as the Insights API keeps them. Key: all columns. Passes that were forgotten are left out.';
COMMENT ON COLUMN raw.insights_events.occurred_at IS 'When it happened, UTC.';
COMMENT ON COLUMN raw.insights_events.kind IS 'created, installed or uninstalled.';
COMMENT ON COLUMN raw.insights_events.pass_id IS 'Id of the pass.';
COMMENT ON COLUMN raw.insights_events.pass_type IS 'Pass type; empty where the event names none.';
COMMENT ON COLUMN raw.insights_events.wallet IS 'apple, google, or empty where the event names no device.';

CREATE TABLE raw.insights_corrections (
    day DATE, event_type VARCHAR, pass_type VARCHAR, wallet VARCHAR, events_before BIGINT, events_after BIGINT, found_at TIMESTAMP
);
COMMENT ON TABLE raw.insights_corrections IS 'Counts of past days that a later reading of Insights changed, by late events. Key: day, event_type, pass_type, wallet, found_at.';
COMMENT ON COLUMN raw.insights_corrections.day IS 'UTC day whose count changed.';
COMMENT ON COLUMN raw.insights_corrections.event_type IS 'As in insights_daily.';
COMMENT ON COLUMN raw.insights_corrections.pass_type IS 'As in insights_daily.';
COMMENT ON COLUMN raw.insights_corrections.wallet IS 'As in insights_daily.';
COMMENT ON COLUMN raw.insights_corrections.events_before IS 'Events by the reading before.';
COMMENT ON COLUMN raw.insights_corrections.events_after IS 'Events by this reading.';
COMMENT ON COLUMN raw.insights_corrections.found_at IS 'When the change was read, UTC.';

CREATE TABLE adoption.calendar (
    day DATE, week DATE, iso_week VARCHAR, month DATE, starts_at TIMESTAMP, ends_at TIMESTAMP, is_over BOOLEAN, time_zone VARCHAR
);
COMMENT ON TABLE adoption.calendar IS 'The days that trends are counted by: those of which Insights was read. Key: day, in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN adoption.calendar.day IS 'Day in the time zone that time_zone names.';
COMMENT ON COLUMN adoption.calendar.week IS 'Monday of its ISO week.';
COMMENT ON COLUMN adoption.calendar.iso_week IS 'Its ISO week, such as 2026-W48.';
COMMENT ON COLUMN adoption.calendar.month IS 'First day of its month.';
COMMENT ON COLUMN adoption.calendar.starts_at IS 'When the day begins, UTC.';
COMMENT ON COLUMN adoption.calendar.ends_at IS 'When the next day begins, UTC.';
COMMENT ON COLUMN adoption.calendar.is_over IS 'Whether it was over when the trends were counted.';
COMMENT ON COLUMN adoption.calendar.time_zone IS 'REPORT_TIME_ZONE: the time zone of all days, weeks and months of the trends.';

CREATE TABLE adoption.installations (
    pass_id VARCHAR, wallet VARCHAR, number BIGINT, pass_type VARCHAR, created_at TIMESTAMP, installed_at TIMESTAMP,
    uninstalled_at TIMESTAMP, begin_told_by VARCHAR, end_told_by VARCHAR
);
COMMENT ON TABLE adoption.installations IS 'Every installation that a pass had in a wallet. Key: pass_id, wallet, number. History by Insights, the present by wallet_registers.';
COMMENT ON COLUMN adoption.installations.pass_id IS 'Id of the pass.';
COMMENT ON COLUMN adoption.installations.wallet IS 'apple or google.';
COMMENT ON COLUMN adoption.installations.number IS 'Place among the installations of the pass in the wallet, from 1.';
COMMENT ON COLUMN adoption.installations.pass_type IS 'Pass type; empty where nobody names one.';
COMMENT ON COLUMN adoption.installations.created_at IS 'Creation of the pass, UTC; null where nobody tells it.';
COMMENT ON COLUMN adoption.installations.installed_at IS 'When it began, UTC; null when that was before Insights was read.';
COMMENT ON COLUMN adoption.installations.uninstalled_at IS 'When it ended, UTC; null while it goes on. By the registers: as known from the list of passes.';
COMMENT ON COLUMN adoption.installations.begin_told_by IS 'insights or registers.';
COMMENT ON COLUMN adoption.installations.end_told_by IS 'insights or registers; null while it goes on.';

CREATE TABLE adoption.created_passes (pass_id VARCHAR, pass_type VARCHAR, created_at TIMESTAMP);
COMMENT ON TABLE adoption.created_passes IS 'Passes whose creation is known, by the list of passes or else by Insights. Key: pass_id.';
COMMENT ON COLUMN adoption.created_passes.pass_id IS 'Id of the pass.';
COMMENT ON COLUMN adoption.created_passes.pass_type IS 'Pass type; empty where nobody names one.';
COMMENT ON COLUMN adoption.created_passes.created_at IS 'When it was created, UTC.';

DROP TABLE adoption.adoption_daily;
CREATE TABLE adoption.adoption_daily (
    day DATE, pass_type VARCHAR, wallet VARCHAR, installs BIGINT, uninstalls BIGINT, net BIGINT, first_installs BIGINT,
    reinstalls BIGINT, installs_7d_mean DOUBLE, uninstalls_7d_mean DOUBLE, installed_passes BIGINT, created_passes BIGINT,
    passes_so_far BIGINT, installed_share DOUBLE
);
COMMENT ON TABLE adoption.adoption_daily IS 'Installations begun and ended. Grain: day of the calendar, pass type, wallet; days without any are rows of zeros.';
COMMENT ON COLUMN adoption.adoption_daily.day IS 'Day in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN adoption.adoption_daily.pass_type IS 'Pass type.';
COMMENT ON COLUMN adoption.adoption_daily.wallet IS 'apple or google.';
COMMENT ON COLUMN adoption.adoption_daily.installs IS 'Installations begun; a further device is none.';
COMMENT ON COLUMN adoption.adoption_daily.uninstalls IS 'Installations ended.';
COMMENT ON COLUMN adoption.adoption_daily.net IS 'installs - uninstalls.';
COMMENT ON COLUMN adoption.adoption_daily.first_installs IS 'Of installs: the first of the pass in this wallet.';
COMMENT ON COLUMN adoption.adoption_daily.reinstalls IS 'Of installs: the pass had been in this wallet before.';
COMMENT ON COLUMN adoption.adoption_daily.installs_7d_mean IS 'Mean of installs over the day and the six before it, as far as they were read.';
COMMENT ON COLUMN adoption.adoption_daily.uninstalls_7d_mean IS 'Mean of uninstalls over the day and the six before it, as far as they were read.';
COMMENT ON COLUMN adoption.adoption_daily.installed_passes IS 'Passes installed at the end of the day; on the newest day as wallet_registers has them.';
COMMENT ON COLUMN adoption.adoption_daily.created_passes IS 'Passes of the type created on the day, the same for both wallets.';
COMMENT ON COLUMN adoption.adoption_daily.passes_so_far IS 'Passes of the type created by the end of the day, passes gone from the list included.';
COMMENT ON COLUMN adoption.adoption_daily.installed_share IS 'installed_passes of passes_so_far; null before the first pass.';

CREATE TABLE adoption.adoption_weekly (
    week DATE, pass_type VARCHAR, wallet VARCHAR, days BIGINT, installs BIGINT, uninstalls BIGINT, net BIGINT,
    first_installs BIGINT, reinstalls BIGINT, installed_passes BIGINT, created_passes BIGINT, passes_so_far BIGINT, installed_share DOUBLE
);
CREATE TABLE adoption.adoption_monthly AS FROM adoption.adoption_weekly;
ALTER TABLE adoption.adoption_monthly RENAME COLUMN week TO month;
COMMENT ON TABLE adoption.adoption_weekly IS 'adoption_daily by ISO week. Key: week, pass type, wallet.';
COMMENT ON COLUMN adoption.adoption_weekly.week IS 'Monday of the ISO week, in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN adoption.adoption_weekly.pass_type IS 'Pass type.';
COMMENT ON COLUMN adoption.adoption_weekly.wallet IS 'apple or google.';
COMMENT ON COLUMN adoption.adoption_weekly.days IS 'Days counted: fewer than 7 while the week goes on, or where days were not read.';
COMMENT ON COLUMN adoption.adoption_weekly.installs IS 'Installations begun.';
COMMENT ON COLUMN adoption.adoption_weekly.uninstalls IS 'Installations ended.';
COMMENT ON COLUMN adoption.adoption_weekly.net IS 'installs - uninstalls.';
COMMENT ON COLUMN adoption.adoption_weekly.first_installs IS 'Of installs: the first of the pass in this wallet.';
COMMENT ON COLUMN adoption.adoption_weekly.reinstalls IS 'Of installs: the pass had been in this wallet before.';
COMMENT ON COLUMN adoption.adoption_weekly.installed_passes IS 'Passes installed at the end of the last day counted.';
COMMENT ON COLUMN adoption.adoption_weekly.created_passes IS 'Passes of the type created, the same for both wallets.';
COMMENT ON COLUMN adoption.adoption_weekly.passes_so_far IS 'Passes of the type created by then.';
COMMENT ON COLUMN adoption.adoption_weekly.installed_share IS 'installed_passes of passes_so_far.';
COMMENT ON TABLE adoption.adoption_monthly IS 'adoption_daily by month. Key: month, pass type, wallet.';
COMMENT ON COLUMN adoption.adoption_monthly.month IS 'First day of the month, in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN adoption.adoption_monthly.pass_type IS 'Pass type.';
COMMENT ON COLUMN adoption.adoption_monthly.wallet IS 'apple or google.';
COMMENT ON COLUMN adoption.adoption_monthly.days IS 'Days counted: fewer than the month has while it goes on, or where days were not read.';
COMMENT ON COLUMN adoption.adoption_monthly.installs IS 'Installations begun.';
COMMENT ON COLUMN adoption.adoption_monthly.uninstalls IS 'Installations ended.';
COMMENT ON COLUMN adoption.adoption_monthly.net IS 'installs - uninstalls.';
COMMENT ON COLUMN adoption.adoption_monthly.first_installs IS 'Of installs: the first of the pass in this wallet.';
COMMENT ON COLUMN adoption.adoption_monthly.reinstalls IS 'Of installs: the pass had been in this wallet before.';
COMMENT ON COLUMN adoption.adoption_monthly.installed_passes IS 'Passes installed at the end of the last day counted.';
COMMENT ON COLUMN adoption.adoption_monthly.created_passes IS 'Passes of the type created, the same for both wallets.';
COMMENT ON COLUMN adoption.adoption_monthly.passes_so_far IS 'Passes of the type created by then.';
COMMENT ON COLUMN adoption.adoption_monthly.installed_share IS 'installed_passes of passes_so_far.';

CREATE TABLE adoption.adoption_cohorts (
    created_month DATE, pass_type VARCHAR, wallet VARCHAR, months_since BIGINT, passes BIGINT, installed_passes BIGINT,
    retained_passes BIGINT, installed_share DOUBLE, retained_share DOUBLE
);
COMMENT ON TABLE adoption.adoption_cohorts IS 'What became of the passes created in a month. Key: created_month, pass type, wallet, months_since. Months that are over.';
COMMENT ON COLUMN adoption.adoption_cohorts.created_month IS 'First day of the month of creation, in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN adoption.adoption_cohorts.pass_type IS 'Pass type.';
COMMENT ON COLUMN adoption.adoption_cohorts.wallet IS 'apple, google, or any: in at least one of them.';
COMMENT ON COLUMN adoption.adoption_cohorts.months_since IS 'Months after the month of creation; 0 is the end of that month itself.';
COMMENT ON COLUMN adoption.adoption_cohorts.passes IS 'Passes created in the month.';
COMMENT ON COLUMN adoption.adoption_cohorts.installed_passes IS 'Of these: installed by then, at least once.';
COMMENT ON COLUMN adoption.adoption_cohorts.retained_passes IS 'Of these: installed at that moment.';
COMMENT ON COLUMN adoption.adoption_cohorts.installed_share IS 'installed_passes of passes.';
COMMENT ON COLUMN adoption.adoption_cohorts.retained_share IS 'retained_passes of passes.';

CREATE TABLE adoption.time_to_install (
    created_month DATE, pass_type VARCHAR, wallet VARCHAR, passes BIGINT, installed_passes BIGINT, p50_hours DOUBLE,
    p90_hours DOUBLE, within_1_hour BIGINT, within_1_day BIGINT, within_7_days BIGINT, within_30_days BIGINT
);
COMMENT ON TABLE adoption.time_to_install IS 'From creation to first installation. Key: created_month, pass type, wallet.';
COMMENT ON COLUMN adoption.time_to_install.created_month IS 'First day of the month of creation, in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN adoption.time_to_install.pass_type IS 'Pass type.';
COMMENT ON COLUMN adoption.time_to_install.wallet IS 'apple, google, or any: the first of both.';
COMMENT ON COLUMN adoption.time_to_install.passes IS 'Passes created in the month.';
COMMENT ON COLUMN adoption.time_to_install.installed_passes IS 'Of these: installed since, at a time that is known.';
COMMENT ON COLUMN adoption.time_to_install.p50_hours IS 'Half of these were installed within so many hours.';
COMMENT ON COLUMN adoption.time_to_install.p90_hours IS 'Nine of ten of these were installed within so many hours.';
COMMENT ON COLUMN adoption.time_to_install.within_1_hour IS 'Passes installed within an hour.';
COMMENT ON COLUMN adoption.time_to_install.within_1_day IS 'Passes installed within 24 hours.';
COMMENT ON COLUMN adoption.time_to_install.within_7_days IS 'Passes installed within 7 times 24 hours.';
COMMENT ON COLUMN adoption.time_to_install.within_30_days IS 'Passes installed within 30 times 24 hours.';

CREATE TABLE adoption.churn (
    month DATE, pass_type VARCHAR, wallet VARCHAR, younger_than_days BIGINT, uninstalls BIGINT, back_within_1_day BIGINT,
    back_within_7_days BIGINT, back_within_30_days BIGINT
);
COMMENT ON TABLE adoption.churn IS 'Installations that ended, by their age, and who came back. Key: month, pass type, wallet, younger_than_days.';
COMMENT ON COLUMN adoption.churn.month IS 'First day of the month of the end, in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN adoption.churn.pass_type IS 'Pass type.';
COMMENT ON COLUMN adoption.churn.wallet IS 'apple or google.';
COMMENT ON COLUMN adoption.churn.younger_than_days IS 'Age at the end: below 1, 7, 30, 90 or 365 days, and not below the number before; null when older, or its begin is unknown.';
COMMENT ON COLUMN adoption.churn.uninstalls IS 'Installations ended.';
COMMENT ON COLUMN adoption.churn.back_within_1_day IS 'Of these: the pass was in the same wallet again within 24 hours.';
COMMENT ON COLUMN adoption.churn.back_within_7_days IS 'The same within 7 times 24 hours.';
COMMENT ON COLUMN adoption.churn.back_within_30_days IS 'The same within 30 times 24 hours; more may come back as long as the month is less than 30 days ago.';

CREATE TABLE adoption.status_daily (day DATE, wallet_status VARCHAR, customers BIGINT);
COMMENT ON TABLE adoption.status_daily IS 'Customers by wallet_status at the end of each day, as it was held true then. Key: day, wallet_status.';
COMMENT ON COLUMN adoption.status_daily.day IS 'Day in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN adoption.status_daily.wallet_status IS 'none, apple, google or both.';
COMMENT ON COLUMN adoption.status_daily.customers IS 'Number of customers.';

CREATE TABLE adoption.wallet_switches (day DATE, from_status VARCHAR, to_status VARCHAR, customers BIGINT);
COMMENT ON TABLE adoption.wallet_switches IS 'Customers who went from one wallet_status to another. Key: day, from_status, to_status.';
COMMENT ON COLUMN adoption.wallet_switches.day IS 'Day in the time zone of REPORT_TIME_ZONE on which the change was derived.';
COMMENT ON COLUMN adoption.wallet_switches.from_status IS 'wallet_status before; new for a customer who came in.';
COMMENT ON COLUMN adoption.wallet_switches.to_status IS 'wallet_status after; gone when no pass is left.';
COMMENT ON COLUMN adoption.wallet_switches.customers IS 'Number of changes.';
