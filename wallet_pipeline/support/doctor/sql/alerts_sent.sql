-- Alerts by channel in the outbox (SQLite): how many went out, when the last one, how many still wait, and why the
-- newest of these could not be sent. Key: channel. Waiting are those made after :since; times are seconds since 1970.
-- Read by the doctor.
SELECT
    channel,
    count(sent_at) AS sent,
    max(sent_at) AS last_sent_at,
    count(*) FILTER (WHERE sent_at IS NULL AND made_at > :since) AS waiting,
    (
        SELECT failure FROM messages AS newest
        WHERE newest.channel = messages.channel AND sent_at IS NULL AND failure IS NOT NULL AND made_at > :since
        ORDER BY message_id DESC LIMIT 1
    ) AS failure
FROM messages
GROUP BY channel
ORDER BY channel;
