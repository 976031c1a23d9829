-- Passes that share a value, of now or of before, with a pass added last, and are not there yet. Grain and key: pass_id.
-- Read by recall, until there is none: passes that share no value do not know each other, whatever the moment.
WITH values_of_added AS (SELECT DISTINCT name, value FROM borne SEMI JOIN added USING (pass_id))
SELECT DISTINCT pass_id
FROM borne
SEMI JOIN values_of_added USING (name, value)
ANTI JOIN component USING (pass_id)
