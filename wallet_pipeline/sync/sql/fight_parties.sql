-- Who overwrites whom in the CRM, the most frequent pairs first. Grain: field, written_by, changed_by. Read by
-- sum_up_fights. Fights whose last repair lies before $since, in UTC, are over.
SELECT field, written_by, changed_by, count(*) AS customers
FROM crm.fights
WHERE last_repaired_at > $since
GROUP BY field, written_by, changed_by
ORDER BY customers DESC, field, written_by, changed_by
LIMIT 5
