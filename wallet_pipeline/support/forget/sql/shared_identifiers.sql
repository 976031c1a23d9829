-- Identifiers of the person whose value passes of others bear, too, under whatever name: they name nobody alone. Grain and
-- key: name, value. Read by find_person. Those of IDENTIFIER_ORDER are known normalised; others are looked for as written.
SELECT name, value
FROM temp.person_identifiers
SEMI JOIN (SELECT value FROM wallet.pass_identifiers ANTI JOIN temp.person_passes USING (pass_id)) USING (value)
UNION
SELECT name, value
FROM temp.person_identifiers i
WHERE NOT i.keys_customers
    AND EXISTS (
        FROM wallet.pass_customers c
        ANTI JOIN temp.person_passes USING (pass_id)
        WHERE contains(c.identifiers, i.written)
    )
