-- What the sync needs to compare, and to send a refused row no oftener than it may help. All times are UTC.

-- Times apart by less than the tolerance are equal; so are two that are both missing.
CREATE MACRO crm.apart(one, other, tolerance_ms) AS
    one IS DISTINCT FROM other AND coalesce(abs(epoch_ms(one) - epoch_ms(other)) >= tolerance_ms, TRUE);

-- Whether two structs with the five fields of a customer say the same.
CREATE MACRO crm.same_state(one, other, tolerance_ms) AS
    one.wallet_status IS NOT DISTINCT FROM other.wallet_status
    AND one.wallet_last_event IS NOT DISTINCT FROM other.wallet_last_event
    AND NOT crm.apart(one.apple_wallet_installed_at, other.apple_wallet_installed_at, tolerance_ms)
    AND NOT crm.apart(one.google_wallet_installed_at, other.google_wallet_installed_at, tolerance_ms)
    AND NOT crm.apart(one.wallet_last_changed_at, other.wallet_last_changed_at, tolerance_ms);

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
