-- Customers who went from one wallet_status to another in the last 30 days of the calendar, today included; those who came in or left
-- are no switch. Grain and key: from_status, to_status. Read by the report.
SELECT from_status, to_status, sum(customers)::BIGINT AS customers
FROM adoption.wallet_switches
WHERE from_status <> 'new' AND to_status <> 'gone' AND day > (SELECT max(day) - 30 FROM adoption.calendar)
GROUP BY from_status, to_status
ORDER BY from_status, to_status
