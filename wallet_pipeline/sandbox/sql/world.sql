-- The world at its creation: customers, their passes, and the history of events behind them.
-- Everything follows from three variables, so equal values give equal rows: seed, passes, and history_end (microseconds,
-- UTC); deleted_passes follows from passes, tenant is a constant. Chance is a hash of seed, a label and a number. Times are microseconds since 1970 until the last step.

CREATE SCHEMA backstage;

-- One row: what the world was made of, how many times it was changed, and the time of the last change.
CREATE TABLE backstage.state AS
SELECT
    getvariable('seed') AS seed,
    getvariable('passes') AS passes,
    0::BIGINT AS changes,
    getvariable('history_end') AS last_change;

CREATE TEMP MACRO dice(label, n) AS (hash(getvariable('seed'), label, n) >> 12) / 4503599627370496.0;
CREATE TEMP MACRO pick(label, n, choices) AS choices[1 + (hash(getvariable('seed'), label, n) % len(choices))::BIGINT];
CREATE TEMP MACRO hex(label, n) AS md5(concat_ws('/', getvariable('seed'), label, n));
CREATE TEMP MACRO cut(micros, digits) AS micros - micros % (10 ** (6 - least(digits, 6)))::BIGINT;
-- .NET writes 0 to 7 fractional digits; the seventh lies below what a timestamp holds.
CREATE TEMP MACRO written(micros, digits, label, n) AS
    strftime(make_timestamp(micros), '%Y-%m-%dT%H:%M:%S')
    || CASE WHEN digits = 0 THEN '' ELSE '.' || left(strftime(make_timestamp(micros), '%f') || (n % 10), digits) END
    || CASE WHEN dice(label, n) < 0.7 THEN 'Z' ELSE '+00:00' END;

-- One row a customer. Every tenth is messy, the kinds of mess in turn, so that each kind occurs in any world of some size.
CREATE TEMP MACRO messes() AS [
    'number_id', 'padded_id', 'nfd', 'plus_tag', 'capitals', 'idn', 'dotted_only', 'null_identifiers', 'empty_identifiers',
    'blank_identifiers', 'no_identifier', 'email_on_later', 'account_on_later', 'email_only', 'account_only',
    'shared_email', 'conflict', 'changed_identifier'
];

CREATE TEMP TABLE drawn_customers AS
SELECT
    n AS customer,
    CASE WHEN n % 10 = 9 THEN messes()[1 + n // 10 % len(messes())] ELSE 'clean' END AS mess,
    CASE
        WHEN mess IN ('conflict', 'email_on_later', 'account_on_later', 'number_id', 'nfd', 'capitals')
        THEN pick('passes', n, [2, 3])
        WHEN dice('passes', n) < 0.70 THEN 1
        WHEN dice('passes', n) < 0.92 THEN 2
        ELSE 3
    END AS passes,
    (100000 + n)::VARCHAR AS number,
    pick('first', n, ['Anna', 'Ben', 'Chloé', 'Dirk', 'Elif', 'Farid', 'Greta', 'Håkon', 'Ines', 'Jürgen', 'Kaya', 'Léa'])
        AS firstname,
    pick('last', n, ['Adler', 'Berg', 'Costa', 'Dubois', 'Evans', 'Fischer', 'Garcia', 'Huber', 'Ito', 'Jansen', 'Kovač'])
        AS lastname,
    CASE mess WHEN 'idn' THEN 'bücher.example'
        ELSE pick('domain', n, ['example.com', 'example.org', 'mail.test', 'post.test']) END AS domain,
    dice('contact', n) AS contact_share
FROM range(getvariable('passes') + getvariable('deleted_passes')) AS numbers (n);

CREATE TEMP TABLE numbered_customers AS
SELECT
    *,
    sum(passes) OVER (ORDER BY customer) - passes AS first_pass
FROM drawn_customers
QUALIFY first_pass < getvariable('passes') + getvariable('deleted_passes');

CREATE TABLE backstage.customers AS
SELECT
    customer,
    mess,
    passes,
    first_pass,
    number,
    firstname,
    lastname,
    -- The one before a customer with a shared e-mail is the other one who bears it.
    lead(mess IN ('shared_email', 'conflict'), 1, false) OVER (ORDER BY customer) AS lends_email,
    CASE WHEN mess = 'number_id' THEN number ELSE 'C-' || number END AS customer_id,
    'A-' || number AS account_id,
    lower(strip_accents(firstname) || '.' || strip_accents(lastname)) || number
        || if(mess = 'plus_tag', '+tag@', '@') || domain AS email,
    lends_email OR mess <> 'clean' OR dice('has email', customer) < 0.85 AS has_email,
    dice('has account', customer) < 0.4 AS has_account,
    dice('has dotted', customer) < 0.2 AS has_dotted,
    -- What the CRM knows at the start of the customers whose customerId is beyond doubt.
    CASE
        WHEN mess NOT IN ('clean', 'number_id', 'padded_id', 'plus_tag', 'capitals', 'idn', 'email_on_later',
            'account_on_later', 'changed_identifier') THEN 'none'
        WHEN contact_share < 0.6 THEN 'linked'
        WHEN NOT has_email THEN 'none'
        WHEN contact_share < 0.75 THEN 'email'
        WHEN contact_share < 0.8 THEN 'email in capitals'
        WHEN contact_share < 0.805 THEN 'conflict'
        ELSE 'none'
    END AS contact
FROM numbered_customers
ORDER BY customer;

-- One row a pass, the later deleted ones included. The number orders nothing that is visible outside.
CREATE TEMP TABLE drawn_passes AS
SELECT
    first_pass + place AS n,
    customer,
    place,
    row_number() OVER (ORDER BY hash(getvariable('seed'), 'deleted', n), n) <= getvariable('deleted_passes') AS deleted,
    CASE WHEN dice('id form', n) < 0.2
        THEN left(hex('pass', n), 12) || '-' || right(hex('pass', n), 6) || '_' || n % 10
        ELSE left(hex('pass', n), 22)
    END AS id,
    's3cr3t-' || sha1(concat_ws('/', getvariable('seed'), 'secret', n)) AS secret,
    pick('type', n, ['loyalty', 'loyalty', 'loyalty', 'eventTicket', 'giftCard', 'offer']) AS pass_type,
    (hash(getvariable('seed'), 'digits', n) % 8)::BIGINT AS digits,
    -- The last two minutes are left free, so that every history fits in.
    getvariable('history_end') - 120000000
        - (dice('created', n) ** 1.3 * (90 * 86400 - 180))::BIGINT * 1000000
        - (hash(getvariable('seed'), 'micros', n) % 1000000)::BIGINT AS created,
    dice('wallets', n) AS wallet_share
FROM backstage.customers, unnest(range(passes)) AS places (place)
WHERE first_pass + place < getvariable('passes') + getvariable('deleted_passes');

-- One row a pass and wallet with any history. The script is what happened: see the steps below.
CREATE TEMP TABLE drawn_registers AS
SELECT
    n,
    wallet,
    n * 2 + (wallet = 'google')::BIGINT AS register,
    CASE
        WHEN dice('script', register) < 0.14 THEN 'uninstalled'
        WHEN dice('script', register) < 0.19 THEN 'reinstalled'
        WHEN dice('script', register) < 0.20 THEN 'reinstalled within a second'
        WHEN dice('script', register) < 0.22 THEN 'second device came'
        WHEN dice('script', register) < 0.24 THEN 'second device came and went'
        WHEN dice('script', register) < 0.25 THEN 'both devices went'
        ELSE 'installed'
    END AS script,
    CASE WHEN script = 'reinstalled within a second' THEN 3 + digits % 5 ELSE digits END AS digits,
    created + ((getvariable('history_end') - 60000000 - created) * dice('installed', register) ** 3)::BIGINT
        + 1000000 AS first_at
FROM drawn_passes, (VALUES ('apple', 0.0, 0.55), ('google', 0.45, 0.80)) AS wallets (wallet, low, high)
WHERE wallet_share >= low AND wallet_share < high;

CREATE TEMP TABLE steps AS
FROM (VALUES
    ('installed', 0, 'Pass:Installed', 1),
    ('uninstalled', 0, 'Pass:Installed', 1),
    ('uninstalled', 1, 'Pass:Uninstalled', 0),
    ('reinstalled', 0, 'Pass:Installed', 1),
    ('reinstalled', 1, 'Pass:Uninstalled', 0),
    ('reinstalled', 2, 'Pass:Installed', 1),
    ('reinstalled within a second', 0, 'Pass:Installed', 1),
    ('reinstalled within a second', 1, 'Pass:Uninstalled', 0),
    ('reinstalled within a second', 2, 'Pass:Installed', 1),
    ('second device came', 0, 'Pass:Installed', 1),
    ('second device came', 1, 'Pass:Installed', 2),
    ('second device came and went', 0, 'Pass:Installed', 1),
    ('second device came and went', 1, 'Pass:Installed', 2),
    ('second device came and went', 2, 'Pass:Uninstalled', 1),
    ('both devices went', 0, 'Pass:Installed', 1),
    ('both devices went', 1, 'Pass:Installed', 2),
    ('both devices went', 2, 'Pass:Uninstalled', 1),
    ('both devices went', 3, 'Pass:Uninstalled', 0)
) AS script_steps (script, step, event_type, devices);

CREATE TEMP TABLE drawn_installs AS
SELECT
    n,
    wallet,
    register,
    step,
    event_type,
    devices,
    cut(
        CASE WHEN script = 'reinstalled within a second' THEN first_at + step * 300000
        ELSE first_at + ((getvariable('history_end') - first_at)
            * CASE WHEN step = 0 THEN 0 ELSE (step + dice('step', register * 4 + step) / 2) / 5 END)::BIGINT END,
        digits
    ) AS happened,
    digits
FROM drawn_registers
JOIN steps USING (script);

-- One row a register: where its history leaves it. The date is that of its last change from 0 to 1 devices.
CREATE TEMP TABLE register_ends AS
SELECT
    n,
    wallet,
    max_by(devices, step) AS devices,
    CASE WHEN max_by(devices, step) > 0
        THEN max(happened) FILTER (event_type = 'Pass:Installed' AND devices = 1) END AS installed,
    any_value(digits) AS digits
FROM drawn_installs
GROUP BY n, wallet;

-- The identifiers as listed, as JSON text. Accents are written composed on the first pass, decomposed on the later ones.
CREATE TEMP MACRO decomposed(text) AS replace(replace(replace(replace(replace(text,
    'é', 'e' || chr(769)), 'ü', 'u' || chr(776)), 'å', 'a' || chr(778)), 'č', 'c' || chr(780)), 'É', 'E' || chr(769));
CREATE TEMP MACRO quoted(text) AS to_json(text)::VARCHAR;
CREATE TEMP MACRO member(name, text) AS quoted(name) || ':' || quoted(text);

CREATE TEMP TABLE identified_passes AS
SELECT
    n,
    CASE mess
        WHEN 'clean' THEN '{' || concat_ws(',',
            member('customerId', customer_id),
            CASE WHEN has_account THEN member('accountId', account_id) END,
            CASE WHEN has_email THEN member('email', email) END,
            CASE WHEN has_dotted THEN member('y2.customerId', 'Y' || number) END,
            CASE WHEN has_dotted AND has_email THEN member('crm.email', email) END) || '}'
        WHEN 'number_id' THEN '{"customerId":' || if(place % 2 = 0, number, quoted(number)) || '}'
        WHEN 'padded_id' THEN '{' || member('customerId', CASE n % 4
            WHEN 0 THEN ' ' || customer_id || '  '
            WHEN 1 THEN chr(160) || customer_id
            WHEN 2 THEN customer_id || chr(8203)
            ELSE chr(65279) || customer_id || chr(9) END) || '}'
        WHEN 'nfd' THEN '{' || member('customerId', if(place % 2 = 0, 'É-' || number, decomposed('É-' || number))) || ','
            || member('email', if(place % 2 = 0, 'zoé.' || number || '@example.com', decomposed('zoé.' || number || '@example.com')))
            || '}'
        WHEN 'plus_tag' THEN '{' || member('customerId', customer_id) || ',' || member('email', email) || '}'
        WHEN 'capitals' THEN '{' || if(place = 0, member('customerId', customer_id) || ',', '')
            || member('email', if(place % 2 = 0, upper(email), email)) || '}'
        WHEN 'idn' THEN '{' || member('customerId', customer_id) || ',' || member('email',
            if(n % 2 = 0, email, replace(email, 'bücher', 'xn--bcher-kva'))) || '}'
        WHEN 'dotted_only' THEN '{' || member('y2.customerId', 'Y' || number) || ',' || member('crm.email', email) || '}'
        WHEN 'null_identifiers' THEN 'null'
        WHEN 'empty_identifiers' THEN '{}'
        WHEN 'blank_identifiers' THEN '{"customerId":"  ","email":"' || chr(160) || '"}'
        WHEN 'no_identifier' THEN '{"customerId":true,"accountId":{"value":"' || account_id || '"},"email":null}'
        WHEN 'email_on_later' THEN
            '{' || if(place = 0, member('customerId', customer_id) || ',', '') || member('email', email) || '}'
        WHEN 'account_on_later' THEN
            '{' || if(place = 0, member('customerId', customer_id) || ',', '') || member('accountId', account_id) || '}'
        WHEN 'email_only' THEN '{' || member('email', email) || '}'
        WHEN 'account_only' THEN '{' || member('accountId', account_id) || '}'
        WHEN 'shared_email' THEN '{' || member('customerId', customer_id) || ',' || member('email', lent_email) || '}'
        WHEN 'conflict' THEN
            '{' || if(place = 0, member('customerId', customer_id) || ',', '') || member('email', lent_email) || '}'
        WHEN 'changed_identifier' THEN '{' || member('customerId', customer_id) || '}'
    END AS identifiers,
    CASE WHEN mess = 'changed_identifier' THEN '{"customerId":"OLD-' || number || '"}' ELSE identifiers END
        AS earlier_identifiers,
    created + (getvariable('history_end') - created) // 2 AS identified,
    mess = 'changed_identifier' AS changed_identifiers,
    mess = 'clean' AND NOT lends_email AND contact <> 'conflict' AS clean,
    customer_id
FROM (
    SELECT *, lag(email) OVER (ORDER BY customer) AS lent_email
    FROM backstage.customers
)
JOIN drawn_passes USING (customer);

CREATE TABLE main.Events AS
SELECT
    hex('event', happened::VARCHAR || '/' || event_type || '/' || n || '/' || coalesce(wallet, ''))::UUID AS eventId,
    make_timestamp(happened) AS timestamp,
    getvariable('tenant') AS tenantId,
    event_type AS eventType,
    left(hex('operation', n * 100 + coalesce(step, 50)), 16) AS operationId,
    ('{"passId":"' || id || '","passType":"' || pass_type || '"'
        || CASE WHEN wallet IS NULL THEN '' ELSE ',"device":"' || wallet || '","activeRegistrationCount":' || devices
            || ',"identifiers":' || if(happened < identified, earlier_identifiers, identifiers) END
        || '}')::JSON AS properties
FROM (
    SELECT n, wallet, step, event_type, devices, happened FROM drawn_installs
    UNION ALL
    SELECT n, NULL, NULL, 'Pass:Created', NULL, cut(created, digits) FROM drawn_passes
    UNION ALL
    SELECT n, NULL, NULL, 'Pass:Updated', NULL, cut(identified, digits)
    FROM drawn_passes JOIN identified_passes USING (n)
    WHERE changed_identifiers OR dice('updated', n) < 0.3
)
JOIN drawn_passes USING (n)
JOIN identified_passes USING (n)
ORDER BY happened, n, step;

CREATE TABLE main.Logs AS FROM main.Events LIMIT 0;
CREATE TABLE main.Metrics (
    metricId UUID, tenantId VARCHAR, metricType VARCHAR, value JSON, properties JSON, timestamp TIMESTAMP
);

-- A wallet that holds the pass not: the key is absent, null or empty.
CREATE TEMP MACRO provider(name, micros, digits, n) AS CASE
    WHEN micros IS NOT NULL THEN quoted(name) || ':"' || written(micros, digits, 'zone ' || name, n) || '"'
    WHEN dice('absent ' || name, n) < 0.6 THEN NULL
    WHEN dice('absent ' || name, n) < 0.85 THEN quoted(name) || ':null'
    ELSE quoted(name) || ':""'
END;

-- One row a listed pass, in the order of the ids; the body is the JSON that the Pass API shows.
CREATE TABLE backstage.passes AS
SELECT
    id,
    '{"id":"' || id || '","secret":"' || secret
        || '","creationDate":"' || written(cut(created, digits), digits, 'zone created', n)
        || '","lastUpdateDate":"' || written(cut(updated, digits), digits, 'zone updated', n)
        || '","passType":"' || pass_type
        || '","identifiers":' || identifiers
        || ',"metadata":' || metadata
        || ',"additionalData":' || pick('additional', n, ['null', '{}', '{"locale":"fr-FR"}', '{"points":' || n % 500 || '}'])
        || ',"providers":' || providers
        || '}' AS body,
    pass_type,
    make_timestamp(cut(created, digits)) AS created_at,
    make_timestamp(cut(updated, digits)) AS updated_at,
    make_timestamp(apple.installed) AS apple_at,
    make_timestamp(google.installed) AS google_at,
    coalesce(apple.devices, 0)::INTEGER AS apple_devices,
    coalesce(google.devices, 0)::INTEGER AS google_devices,
    identifiers::JSON AS identifiers,
    metadata::JSON AS metadata,
    customer_id,
    clean,
    make_timestamp(touched) AS touched_at
FROM (
    SELECT
        drawn_passes.*,
        identifiers,
        customer_id,
        clean,
        apple,
        google,
        CASE WHEN changed_identifiers OR dice('updated', n) < 0.3 THEN identified ELSE created END AS updated,
        pick('metadata', n, ['null', '{}', '{"source":"app"}', '{"source":"mail","tier":"gold"}', '{"store.code":"S12"}'])
            AS metadata,
        CASE
            WHEN apple.installed IS NULL AND google.installed IS NULL AND dice('providers', n) < 0.25 THEN 'null'
            ELSE '{' || concat_ws(',', provider('apple', apple.installed, apple.digits, n),
                provider('google', google.installed, google.digits, n)) || '}'
        END AS providers,
        greatest(updated, coalesce(last_event, created)) AS touched
    FROM drawn_passes
    JOIN identified_passes USING (n)
    LEFT JOIN (FROM register_ends WHERE wallet = 'apple') AS apple USING (n)
    LEFT JOIN (FROM register_ends WHERE wallet = 'google') AS google USING (n)
    LEFT JOIN (SELECT n, max(happened) AS last_event FROM drawn_installs GROUP BY n) USING (n)
    WHERE NOT deleted
)
ORDER BY id;
