-- Readings of Insights that are not over, so that one that broke off is gone on with.
CREATE TABLE raw.insights_readings (first DATE, until DATE, begun_at TIMESTAMP);
COMMENT ON TABLE raw.insights_readings IS 'Readings of Insights that go on, or broke off: of their days only those that are missing are asked for again, for a day. Key: all columns.';
COMMENT ON COLUMN raw.insights_readings.first IS 'First UTC day to be read.';
COMMENT ON COLUMN raw.insights_readings.until IS 'UTC day after the last one.';
COMMENT ON COLUMN raw.insights_readings.begun_at IS 'When it began, UTC.';
