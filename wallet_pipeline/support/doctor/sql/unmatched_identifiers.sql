-- Identifiers that passes without a customer bear. Grain and key: name. usable: passes on which it has a value that could
-- be one (no blank, boolean, list or object); unusable: passes on which it has another. Read by the doctor.
WITH borne AS (
    SELECT unnest(map_entries(CAST(CAST(identifiers AS JSON) AS MAP (VARCHAR, JSON)))) AS entry
    FROM wallet.unmatched_passes
),
judged AS (
    SELECT
        entry.key AS name,
        json_type(entry.value) NOT IN ('BOOLEAN', 'OBJECT', 'ARRAY', 'NULL')
            AND regexp_matches(json_extract_string(entry.value, '$'), '[^\pZ\x09-\x0D\x{85}\x{200B}\x{FEFF}]')
            AS is_usable
    FROM borne
)
SELECT name, count(*) FILTER (is_usable) AS usable, count(*) FILTER (NOT is_usable) AS unusable
FROM judged
GROUP BY name
ORDER BY usable DESC, unusable DESC, name
LIMIT 10
