-- What the sync needs to send a refused row no oftener than it may help. All times are UTC.
ALTER TABLE crm.plan ADD COLUMN row_hash VARCHAR;
ALTER TABLE crm.plan ADD COLUMN refused_before BOOLEAN;
COMMENT ON COLUMN crm.plan.row_hash IS 'Hash over what is to be sent, and under which keys.';
COMMENT ON COLUMN crm.plan.refused_before IS 'True when the CRM refused just this row at the last attempt.';
COMMENT ON COLUMN crm.plan.reason IS 'new, changed, drift, retry (the last attempt failed), departed; for hold and skip: why.';

ALTER TABLE crm.plans ADD COLUMN definitions_hash VARCHAR;
COMMENT ON COLUMN crm.plans.definitions_hash IS 'Hash over the definitions of the CRM''s fields when the plan was made.';

ALTER TABLE crm.rejections ADD COLUMN row_hash VARCHAR;
ALTER TABLE crm.rejections ADD COLUMN definitions_hash VARCHAR;
COMMENT ON COLUMN crm.rejections.attempts IS 'Number of runs that met it, or that sent it in vain.';
COMMENT ON COLUMN crm.rejections.row_hash IS 'Hash of the row that the CRM refused: it is sent again when the row or the definitions have changed, and once a UTC day; null when it was not refused.';
COMMENT ON COLUMN crm.rejections.definitions_hash IS 'Hash over the definitions of the CRM''s fields at that time.';
COMMENT ON COLUMN crm.deliveries.reason IS 'new, changed, drift, retry or departed.';
