-- The tenant's webhook subscriptions, one row each; worlds that were made before there were any get the table here.
-- Numbers are never used twice: a subscription that is made anew gets another secret.
CREATE SEQUENCE IF NOT EXISTS backstage.webhook_numbers;
CREATE TABLE IF NOT EXISTS backstage.webhooks (
    number BIGINT,
    id VARCHAR,
    signature_secret VARCHAR,
    fields VARCHAR -- JSON: what the API lets one set
);
