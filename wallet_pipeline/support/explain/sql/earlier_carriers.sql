-- Identifiers that passes were seen to bear, other than those that they are derived to bear. Grain: pass_id, identifiers.
-- Read by the query pass_identifiers of the rules, under the name pass_identities.
SELECT DISTINCT pass_id, NULL::TIMESTAMP AS carried_at, identifiers
FROM (
    SELECT pass_id, identifiers FROM raw.passes
    UNION ALL
    SELECT pass_id, identifiers FROM raw.wallet_events WHERE identifiers <> '{}'
)
ANTI JOIN wallet.pass_customers USING (pass_id, identifiers)
