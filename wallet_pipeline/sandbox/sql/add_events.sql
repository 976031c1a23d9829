-- Adds events, given as JSON, to what Insights can be asked about.
INSERT INTO main.Events
SELECT
    "eventId"::UUID,
    "timestamp"::TIMESTAMP,
    "tenantId",
    "eventType",
    "operationId",
    properties
FROM (SELECT unnest(from_json($events, '[{
    "eventId": "VARCHAR", "timestamp": "VARCHAR", "tenantId": "VARCHAR", "eventType": "VARCHAR",
    "operationId": "VARCHAR", "properties": "JSON"}]'), recursive := true))
