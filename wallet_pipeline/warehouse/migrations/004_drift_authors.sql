-- Who caused a drift, by the CRM's own history, and where two parties overwrite each other. All times are UTC.
ALTER TABLE crm.drift ADD COLUMN changed_at TIMESTAMP;
ALTER TABLE crm.drift ADD COLUMN changed_by VARCHAR;
ALTER TABLE crm.drift ADD COLUMN source_type VARCHAR;
ALTER TABLE crm.drift ADD COLUMN written_by VARCHAR;
COMMENT ON COLUMN crm.drift.field IS 'Name of the field; customer_id stands for the CRM''s customer property.';
COMMENT ON COLUMN crm.drift.changed_at IS 'Since when the field has held the value found, by the CRM''s clock, UTC; null when not known.';
COMMENT ON COLUMN crm.drift.changed_by IS 'Who gave it that value, as the CRM''s history tells: user 77, workflow 12, import 3, app 815, merge, …; unknown when the history does not tell, null when the CRM was not asked yet.';
COMMENT ON COLUMN crm.drift.source_type IS 'The kind of source as the CRM names it, such as CRM_UI or INTEGRATION.';
COMMENT ON COLUMN crm.drift.written_by IS 'Who had written the value expected, in the same words: as a rule this pipeline, as an app. nobody when the field had always been empty, unknown when the history does not tell.';

CREATE VIEW crm.fights AS
WITH repairs AS (
    SELECT *, max(repaired_at) OVER (PARTITION BY customer_key, field) AS newest_repair
    FROM crm.drift
    WHERE repaired_at IS NOT NULL
)
SELECT
    customer_key,
    last(record_id ORDER BY found_at) AS record_id,
    field,
    -- Two values found before one repair are one repair.
    count(DISTINCT repaired_at) AS times,
    min(repaired_at) AS first_repaired_at,
    max(repaired_at) AS last_repaired_at,
    coalesce(mode(written_by ORDER BY written_by) FILTER (written_by NOT IN ('unknown', 'nobody')), 'unknown') AS written_by,
    coalesce(string_agg(DISTINCT changed_by, ', ' ORDER BY changed_by) FILTER (changed_by <> 'unknown'), 'unknown') AS changed_by,
    last(expected ORDER BY found_at) AS expected,
    last(found ORDER BY found_at) AS found
FROM repairs
WHERE repaired_at > newest_repair - INTERVAL 7 DAYS
GROUP BY customer_key, field
HAVING count(DISTINCT repaired_at) >= 3;
COMMENT ON VIEW crm.fights IS 'Fields that had to be put right three times or more in the seven days up to the last time: somebody and this pipeline overwrite each other. Key: customer_key, field. Times in UTC.';
COMMENT ON COLUMN crm.fights.customer_key IS 'Key of the customer.';
COMMENT ON COLUMN crm.fights.record_id IS 'CRM record, as it was found last.';
COMMENT ON COLUMN crm.fights.field IS 'Name of the field; customer_id stands for the CRM''s customer property.';
COMMENT ON COLUMN crm.fights.times IS 'Number of repairs in those seven days.';
COMMENT ON COLUMN crm.fights.first_repaired_at IS 'The first of them, UTC.';
COMMENT ON COLUMN crm.fights.last_repaired_at IS 'The last of them, UTC.';
COMMENT ON COLUMN crm.fights.written_by IS 'Our side, as the CRM names it; unknown when its history does not tell.';
COMMENT ON COLUMN crm.fights.changed_by IS 'The other side: all who gave the field the values found; unknown when the CRM''s history tells none of them.';
COMMENT ON COLUMN crm.fights.expected IS 'The value expected the last time.';
COMMENT ON COLUMN crm.fights.found IS 'The value found the last time.';
