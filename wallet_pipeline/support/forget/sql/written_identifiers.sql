-- The identifiers that the person's passes ever bore, as they were written. Grain: name, written. Read by find_person, which
-- has them normalised. temp.person_passes holds the passes.
WITH borne AS (
    SELECT identifiers FROM raw.passes SEMI JOIN temp.person_passes USING (pass_id)
    UNION
    SELECT identifiers FROM raw.wallet_events SEMI JOIN temp.person_passes USING (pass_id)
)
SELECT DISTINCT member.key AS name, json_extract_string(member.value, '$') AS written
FROM borne, json_each(borne.identifiers) member
WHERE member.type NOT IN ('BOOLEAN', 'OBJECT', 'ARRAY', 'NULL')
