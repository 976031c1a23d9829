-- Customers asked for whose record no answer has shown yet. Grain and key: customer_key. Read by read_crm, in the plan's
-- work file.
SELECT
    c.linked_record_id AS record_id,
    CASE WHEN NOT c.is_departed THEN c.customer_id END AS customer_id,
    CASE WHEN NOT c.is_departed THEN c.email END AS email
FROM asked c
ANTI JOIN answers by_link ON by_link.key = 'record_id' AND by_link.asked = c.linked_record_id
ANTI JOIN answers by_customer_id ON by_customer_id.key = 'customer_id' AND by_customer_id.asked = c.customer_id
