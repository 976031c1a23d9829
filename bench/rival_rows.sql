-- What drt-core is given: the true values of $customers, dealt out to $parts syncs. Grain and key: customer_id.
-- Written as Parquet to $target. A value that does not hold any more is an empty text, as HubSpot wants it.
COPY (
    SELECT
        row_number() OVER (ORDER BY identifier_value) % $parts AS part,
        identifier_value AS customer_id,
        {
            'customer_id': identifier_value,
            'wallet_status': wallet_status,
            'apple_wallet_installed_at': coalesce(strftime(apple_wallet_installed_at, '%Y-%m-%dT%H:%M:%S.%gZ'), ''),
            'google_wallet_installed_at': coalesce(strftime(google_wallet_installed_at, '%Y-%m-%dT%H:%M:%S.%gZ'), ''),
            'wallet_last_changed_at': coalesce(strftime(wallet_last_changed_at, '%Y-%m-%dT%H:%M:%S.%gZ'), ''),
            'wallet_last_event': coalesce(wallet_last_event, '')
        } AS properties
    FROM pipeline.wallet.customer_wallet_status
    WHERE identifier_value IN (SELECT unnest($customers))
) TO $target (FORMAT parquet)
