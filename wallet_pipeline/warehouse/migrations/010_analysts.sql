-- What holds several values in one column, a row for each value, for tools that know text, numbers and times alone.
CREATE VIEW wallet.borne_identifiers AS
SELECT b.pass_id, b.borne.key AS name, b.borne.value AS value
FROM (
    SELECT p.pass_id, unnest(map_entries(p.identifiers::JSON::MAP(VARCHAR, VARCHAR))) AS borne
    FROM wallet.pass_customers p
) b;
COMMENT ON VIEW wallet.borne_identifiers IS 'All identifiers that each pass bears, those that key no customer included. Key: pass_id, name.';
COMMENT ON COLUMN wallet.borne_identifiers.pass_id IS 'Id of the pass.';
COMMENT ON COLUMN wallet.borne_identifiers.name IS 'Name of the identifier.';
COMMENT ON COLUMN wallet.borne_identifiers.value IS 'Its value as the pass bears it, not normalised.';

CREATE VIEW wallet.conflicting_customers AS
SELECT c.kind, c.identifier_name, c.identifier_value, c.pass_id, unnest(c.customer_keys) AS customer_key
FROM wallet.identity_conflicts c;
COMMENT ON VIEW wallet.conflicting_customers IS 'The customers of each row of identity_conflicts. Key: kind, identifier_name, identifier_value, pass_id, customer_key.';
COMMENT ON COLUMN wallet.conflicting_customers.kind IS 'As in identity_conflicts.';
COMMENT ON COLUMN wallet.conflicting_customers.identifier_name IS 'Name of the identifier.';
COMMENT ON COLUMN wallet.conflicting_customers.identifier_value IS 'Its value, normalised.';
COMMENT ON COLUMN wallet.conflicting_customers.pass_id IS 'The pass in conflict; null for a shared value.';
COMMENT ON COLUMN wallet.conflicting_customers.customer_key IS 'A customer that bears the value.';

COMMENT ON COLUMN raw.wallet_events.identifiers IS 'Identifiers by name, where the event carries them: a JSON object; for analysts name=value, name=value.';
COMMENT ON COLUMN wallet.pass_customers.identifiers IS 'All identifiers of the pass by name: a JSON object; for analysts name=value, name=value.';
COMMENT ON COLUMN wallet.unmatched_passes.identifiers IS 'The identifiers that it does bear, by name: a JSON object; for analysts name=value, name=value.';
COMMENT ON COLUMN wallet.identity_conflicts.customer_keys IS 'The customers that bear the value; for analysts one text, with a comma between them.';
