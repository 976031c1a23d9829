-- How Dagster's jobs went last. For SQLite, on Dagster's own storage. Grain and key: job. ended_at: seconds since 1970.
-- failures: how many runs in a row have failed, the newest first. mended: single assets were materialised well since.
-- Read by the doctor.
WITH finished AS (
    SELECT
        id, pipeline_name AS job, status, end_time,
        -- Materialising single assets is a job of such a name to Dagster.
        pipeline_name LIKE '\_\_%' ESCAPE '\' AS is_single,
        row_number() OVER (PARTITION BY pipeline_name ORDER BY id DESC) AS place
    FROM runs
    WHERE status IN ('SUCCESS', 'FAILURE') AND end_time IS NOT NULL
),
jobs AS (
    SELECT
        job,
        max(id) AS last_id,
        max(end_time) AS ended_at,
        coalesce(min(CASE WHEN status = 'SUCCESS' THEN place END) - 1, count(*)) AS failures
    FROM finished
    WHERE NOT is_single
    GROUP BY job
)
SELECT
    job, ended_at, failures,
    EXISTS (SELECT 1 FROM finished WHERE is_single AND status = 'SUCCESS' AND id > last_id) AS mended
FROM jobs
ORDER BY job
