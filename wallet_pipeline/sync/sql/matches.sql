-- The CRM record of each candidate, as read for this plan, and why it must not be written, if so.
-- Grain and key: customer_key. Read by compared. work is the plan's work file. $customer_identifier: see candidates.
-- A record belongs to the customer that is linked to it or whose id it carries; one found by e-mail must be free. An e-mail
-- of several customers was not asked for: it names none of them.
WITH found AS (
    SELECT
        c.customer_key, c.customer_id, c.is_departed,
        coalesce(by_link.record_id, by_customer_id.record_id, by_email.record_id) AS record_id,
        CASE
            WHEN by_link.record_id IS NOT NULL THEN 'link'
            WHEN by_customer_id.record_id IS NOT NULL THEN 'customer_id'
            WHEN by_email.record_id IS NOT NULL THEN 'email'
        END AS via
    FROM work.candidates c
    -- When another run has told the CRM meanwhile, what this plan has read is older than that: left to the next plan.
    JOIN work.asked USING (customer_key, verified_deliveries)
    LEFT JOIN work.answers by_link ON by_link.key = 'record_id' AND by_link.asked = asked.linked_record_id
    LEFT JOIN work.answers by_customer_id
        ON by_customer_id.key = 'customer_id' AND by_customer_id.asked = asked.customer_id
    LEFT JOIN work.answers by_email ON by_email.key = 'email' AND by_email.asked = asked.email
),
-- Customers whom this plan does not look at, or leaves to the next one, and whose record one of these is all the same.
outside AS (
    SELECT l.customer_key, l.record_id, 'link' AS via
    FROM crm.links l
    SEMI JOIN found USING (record_id)
    SEMI JOIN wallet.customer_wallet_status USING (customer_key)
    ANTI JOIN found USING (customer_key)
    UNION
    SELECT c.customer_key, r.record_id, 'link'
    FROM work.records r
    JOIN wallet.customer_wallet_status c ON c.customer_key = $customer_identifier || '=' || r.customer_id
    ANTI JOIN found ON found.customer_key = c.customer_key
),
claims AS (
    SELECT record_id, count(*) AS customers, count(*) FILTER (via <> 'email') AS by_right
    FROM (
        SELECT record_id, via FROM found WHERE record_id IS NOT NULL AND NOT is_departed
        UNION ALL
        SELECT record_id, via FROM outside
    )
    GROUP BY record_id
)
SELECT
    f.customer_key, f.record_id, f.via,
    coalesce(cl.customers, 0) AS claims,
    CASE
        WHEN r.customer_id <> f.customer_id THEN 'conflict: the record carries another customer id'
        WHEN f.is_departed THEN NULL
        WHEN f.via = 'email' AND cl.customers > 1 THEN 'conflict: several customers match the record'
        WHEN cl.by_right > 1 THEN 'conflict: several customers match the record'
    END AS conflict
FROM found f
LEFT JOIN claims cl USING (record_id)
LEFT JOIN work.records r USING (record_id)
