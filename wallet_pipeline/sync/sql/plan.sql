-- What is to be done in the CRM: one row per customer that is not to be left alone. Grain and key: customer_key. UTC.
-- Becomes crm.plan, read by deliver, the mass change check and the operator. $now, $settle_window, $settle_cap: the settle
-- rule; $missing_contacts: create or skip; $create_needs_email: the CRM makes no record without an e-mail. A shared e-mail
-- is never used: such a customer is found by customer id, or held, since any e-mail would be a guess. A row that the CRM
-- refused is held until the row or the definitions ($definitions_hash) have changed, or the UTC day; then it comes last, so
-- that it shares its batch with its like, each day with others: the few that can be tried one by one are not always the same.
WITH judged AS (
    SELECT
        c.*,
        c.record_id IS NULL AS is_unknown,
        coalesce($now - c.wallet_last_changed_at >= $settle_window, TRUE)
            OR coalesce($now - f.first_changed_at >= $settle_cap, FALSE) AS is_settled,
        coalesce(x.row_hash = c.row_hash AND x.definitions_hash = $definitions_hash, FALSE) AS refused_before,
        x.last_at::DATE = $now::DATE AS was_tried_today
    FROM work.compared c
    LEFT JOIN work.first_changes f USING (customer_key)
    LEFT JOIN crm.rejections x USING (customer_key)
),
decided AS (
    SELECT
        *,
        CASE
            WHEN is_departed AND (is_unknown OR NOT differs) THEN NULL
            WHEN is_departed AND (has_joined_another OR claims > 0) THEN ['hold', 'joined another customer']
            WHEN conflict IS NOT NULL THEN ['hold', conflict]
            WHEN is_departed AND is_disputed THEN ['hold', 'disputed identifier']
            WHEN is_departed AND refused_before AND was_tried_today THEN ['hold', 'refused before']
            WHEN is_departed THEN ['update', 'departed']
            WHEN NOT is_unknown AND NOT differs THEN NULL
            WHEN is_disputed AND loses_a_wallet THEN ['hold', 'disputed identifier']
            WHEN is_unknown AND customer_id IS NULL AND email_is_shared THEN ['hold', 'shared e-mail']
            WHEN is_unknown AND customer_id IS NULL AND email IS NULL THEN ['hold', 'no key that the CRM knows']
            WHEN is_unknown AND $missing_contacts = 'skip' THEN ['skip', 'not in the CRM']
            WHEN is_unknown AND $create_needs_email AND email_is_shared THEN ['hold', 'shared e-mail']
            WHEN is_unknown AND $create_needs_email AND email IS NULL THEN ['hold', 'no e-mail to create it with']
            WHEN refused_before AND was_tried_today THEN ['hold', 'refused before']
            WHEN NOT is_settled THEN ['hold', 'settling']
            WHEN is_unknown AND was_tried_in_vain THEN ['create', 'retry']
            WHEN is_unknown THEN ['create', 'new']
            WHEN delivery IS NULL AND was_tried_in_vain THEN ['link', 'retry']
            WHEN delivery IS NULL THEN ['link', 'new']
            WHEN was_tried_in_vain THEN ['update', 'retry']
            WHEN is_as_delivered AND NOT holds_unsure_delivery THEN ['update', 'drift']
            ELSE ['update', 'changed']
        END AS decision
    FROM judged
)
SELECT
    customer_key, customer_id, email, record_id,
    decision[1] AS action,
    decision[2] AS reason,
    held_wallet_status, wallet_status,
    held_apple_wallet_installed_at, apple_wallet_installed_at,
    held_google_wallet_installed_at, google_wallet_installed_at,
    held_wallet_last_changed_at, wallet_last_changed_at,
    held_wallet_last_event, wallet_last_event,
    row_hash, refused_before,
    CASE
        WHEN decision[1] IN ('update', 'link', 'create') THEN
            row_number() OVER (
                ORDER BY
                    decision[1] IN ('hold', 'skip'),
                    refused_before,
                    CASE WHEN refused_before THEN md5(customer_key || $now::DATE::VARCHAR) END,
                    CASE decision[1] WHEN 'update' THEN 1 WHEN 'link' THEN 2 ELSE 3 END,
                    decision[2], customer_id IS NULL, customer_key
            )
    END AS position
FROM decided
WHERE decision IS NOT NULL
