-- Normalised identifier values of each pass. Grain and key: pass_id, rank. rank is the place in IDENTIFIER_ORDER, from 1.
-- Read by pass_customers, customer_wallet_status, identity_conflicts and the CRM sync.
WITH written AS (
    SELECT
        p.pass_id, p.carried_at, o.rank, o.name,
        o.name = 'email' OR o.name LIKE '%.email' AS is_email,
        json_extract_string(p.identifiers, o.path) AS value
    FROM pass_identities p
    CROSS JOIN identifier_order o
    WHERE json_type(p.identifiers, o.path) NOT IN ('BOOLEAN', 'OBJECT', 'ARRAY', 'NULL')
),
trimmed AS (
    SELECT
        * EXCLUDE (value),
        nfc_normalize(
            regexp_replace(value, '^[\pZ\x09-\x0D\x{85}\x{200B}\x{FEFF}]+|[\pZ\x09-\x0D\x{85}\x{200B}\x{FEFF}]+$', '', 'g')
        ) AS value
    FROM written
),
lowered AS (
    SELECT * EXCLUDE (value), CASE WHEN is_email THEN nfc_normalize(lower(value)) ELSE value END AS value FROM trimmed
)
SELECT
    pass_id, carried_at, rank, name, is_email,
    CASE
        WHEN is_email AND NOT regexp_full_match(value, '[\x00-\x7F]*@[\x00-\x7F]*') AND contains(value, '@')
            THEN regexp_extract(value, '(?s)^(.*@)', 1) || ascii_domain(regexp_extract(value, '(?s)@([^@]*)$', 1))
        ELSE value
    END AS value
FROM lowered
WHERE value <> ''
