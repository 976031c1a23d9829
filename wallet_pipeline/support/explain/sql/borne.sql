-- Every identifier value that a pass bears, or ever bore. Grain: pass_id, name, value. Read by seeds and kin.
SELECT pass_id, name, is_email, value FROM wallet.pass_identifiers
UNION ALL
SELECT pass_id, name, is_email, value FROM earlier_identifiers
