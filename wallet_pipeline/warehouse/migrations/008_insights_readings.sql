-- Readings of Insights that are not over, so that one that broke off is gone on with.
CREATE TABLE raw.insights_readings (first DATE, until DATE, begun_at TIMESTAMP);
COMMENT ON TABLE raw.insights_readings IS 'Readings of Insights that go on, or broke off: of their days only the missing ones and the last three are asked for again, within a day. Key: all columns.';
COMMENT ON COLUMN raw.insights_readings.first IS 'First UTC day to be read.';
COMMENT ON COLUMN raw.insights_readings.until IS 'UTC day after the last one.';
COMMENT ON COLUMN raw.insights_readings.begun_at IS 'When it began, UTC.';
