-- Identifiers in the evidence of others' passes that may name the person: a pass changes hands, and its older evidence
-- still says whose it was. Grain: identifiers, name, as written there. Read by remove_person, which compares them normalised.
WITH borne AS (
    SELECT identifiers FROM raw.passes ANTI JOIN temp.person_passes USING (pass_id)
    UNION
    SELECT identifiers FROM raw.wallet_events ANTI JOIN temp.person_passes USING (pass_id)
),
likely AS (
    SELECT identifiers
    FROM borne
    WHERE EXISTS (
        FROM temp.person_identifiers i
        WHERE contains(identifiers, i.written) OR contains(lower(identifiers), lower(i.value))
    )
)
SELECT DISTINCT identifiers, member.key AS name, json_extract_string(member.value, '$') AS written
FROM likely, json_each(likely.identifiers) member
WHERE member.type NOT IN ('BOOLEAN', 'OBJECT', 'ARRAY', 'NULL')
