-- Customers who went from one wallet_status to another on the last 30 days of the calendar that are over; those who came in or
-- left are no switch. Grain and key: from_status, to_status. Days in the time zone of the calendar. Read by the report.
WITH last_day AS (SELECT max(day) AS day FROM adoption.calendar WHERE is_over)
SELECT s.from_status, s.to_status, sum(s.customers)::BIGINT AS customers
FROM adoption.wallet_switches s
JOIN last_day l ON s.day BETWEEN l.day - 29 AND l.day
WHERE s.from_status <> 'new' AND s.to_status <> 'gone'
GROUP BY s.from_status, s.to_status
ORDER BY s.from_status, s.to_status
