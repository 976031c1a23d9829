-- Passes of others that share an identifier with the person's: to be derived anew once these are gone. Grain: pass_id.
-- Added to raw.touched_passes by remove_person.
SELECT DISTINCT pass_id
FROM wallet.pass_identifiers
SEMI JOIN (SELECT name, value FROM wallet.pass_identifiers SEMI JOIN temp.person_passes USING (pass_id)) USING (name, value)
ANTI JOIN temp.person_passes USING (pass_id)
