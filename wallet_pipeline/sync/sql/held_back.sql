-- Customers that the plan cannot send because of who they are. Grain and key: customer_key. Merged into crm.rejections.
SELECT
    customer_key, record_id,
    'identity' AS error_class,
    reason AS message,
    NULL AS row_hash,
    NULL AS definitions_hash,
    CASE
        WHEN reason LIKE 'conflict: the record%' THEN 'Correct the customer id in the CRM, or merge the two records.'
        WHEN reason LIKE 'conflict: several%' THEN 'Find out whose record it is; part or merge the customers.'
        WHEN reason = 'shared e-mail' THEN 'Enter the customer id in the right CRM record; the e-mail names several customers.'
        WHEN reason = 'no e-mail to create it with' THEN 'Create the contact in the CRM with its customer id.'
        WHEN reason = 'no key that the CRM knows' THEN 'Give the customer''s passes a customer id or an e-mail.'
        WHEN reason = 'disputed identifier' THEN 'Correct the passes that bear the identifier; see identity_conflicts.'
        ELSE 'Check the record: its customer''s passes bear another customer''s identifier now.'
    END AS next_step
FROM work.plan
WHERE action = 'hold' AND reason NOT IN ('settling', 'refused before')
