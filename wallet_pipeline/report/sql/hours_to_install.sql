-- Hours within which half, and nine of ten, of the installed passes were installed, in any wallet. Grain and key: month of
-- creation, the newest $months of them, and pass type, the $largest with most passes: the hours of several cannot be added up.
-- Read by the report.
SELECT t.created_month, t.pass_type, t.p50_hours, t.p90_hours
FROM adoption.time_to_install t
JOIN shown_types s USING (pass_type)
WHERE t.wallet = 'any' AND t.p50_hours IS NOT NULL AND s.place <= $largest
    AND t.created_month > (SELECT max(created_month) - to_months($months::INTEGER) FROM adoption.time_to_install)
ORDER BY s.place, t.created_month
