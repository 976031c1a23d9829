-- Lists of passes that had been read by $known_at (UTC), each with its verdict of then. Grain and key: snapshot_id.
SELECT * REPLACE (CASE WHEN approved_at > $known_at THEN 'held' ELSE verdict END AS verdict)
FROM raw.snapshots
WHERE coalesce(finished_at <= $known_at, TRUE)
