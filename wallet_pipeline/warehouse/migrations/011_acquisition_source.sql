-- Where customers came from when they installed a pass, as far as an event tells it.
ALTER TABLE raw.wallet_events ADD COLUMN acquisition_source VARCHAR;
COMMENT ON COLUMN raw.wallet_events.acquisition_source IS 'Where the registration came from, as medium/origin; null where the event does not tell it.';
ALTER TABLE adoption.installations ADD COLUMN acquisition_source VARCHAR;
COMMENT ON COLUMN adoption.installations.acquisition_source IS 'Where it came from, as medium/origin, by the first of its events that tells it; null where none does.';

CREATE TABLE adoption.adoption_by_source (
    month DATE, pass_type VARCHAR, wallet VARCHAR, acquisition_source VARCHAR, installs BIGINT, still_installed BIGINT
);
COMMENT ON TABLE adoption.adoption_by_source IS 'Installations begun, by where they came from. Key: month, pass type, wallet, acquisition_source. The sums are the installs of adoption_monthly.';
COMMENT ON COLUMN adoption.adoption_by_source.month IS 'First day of the month of the begin, in the time zone of REPORT_TIME_ZONE.';
COMMENT ON COLUMN adoption.adoption_by_source.pass_type IS 'Pass type.';
COMMENT ON COLUMN adoption.adoption_by_source.wallet IS 'apple or google.';
COMMENT ON COLUMN adoption.adoption_by_source.acquisition_source IS 'medium/origin; unknown where no event tells it.';
COMMENT ON COLUMN adoption.adoption_by_source.installs IS 'Installations begun in the month.';
COMMENT ON COLUMN adoption.adoption_by_source.still_installed IS 'Of these: those that go on now.';
