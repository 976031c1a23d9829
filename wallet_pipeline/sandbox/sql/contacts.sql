-- The contacts that the CRM holds at the start, one row each; the addresses are unique. Values may be null.
-- A contact in conflict has the address of a customer and another's customer_id.
SELECT
    CASE contact
        WHEN 'email in capitals' THEN upper(address)
        ELSE if(has_email, address, NULL)
    END AS email,
    firstname,
    lastname,
    CASE contact
        WHEN 'linked' THEN customer_id
        WHEN 'conflict' THEN 'X-' || number
    END AS customer_id
FROM (SELECT *, replace(email, 'bücher', 'xn--bcher-kva') AS address FROM backstage.customers)
WHERE contact <> 'none'
UNION ALL
SELECT 'visitor' || n || '@example.net', 'Visitor', n::VARCHAR, NULL
FROM (SELECT passes // 20 AS visitors FROM backstage.state), range(visitors) AS numbers (n)
