-- Passes that bear a value which a pass of the touched component bears, or bore when the statuses were last derived, and
-- are not in it. Grain and key: pass_id. Read by derive_touched, until there is none. touched holds the component.
WITH borne AS (
    SELECT name, value FROM touched.wallet.pass_identifiers
    UNION
    SELECT name, value FROM wallet.pass_identifiers SEMI JOIN touched.component USING (pass_id)
)
SELECT DISTINCT pass_id
FROM wallet.pass_identifiers
SEMI JOIN borne USING (name, value)
ANTI JOIN touched.component USING (pass_id)
