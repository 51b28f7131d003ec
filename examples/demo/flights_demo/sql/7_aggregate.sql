-- Runs for ever: reads the changelog of the enriched table, upserts each group that has changed.
INSERT INTO delays
SELECT
  carrier, origin,
  COUNT(*), COUNT(*) - COUNT(dep_time),
  COUNT(dep_delay), SUM(CAST(dep_delay AS BIGINT)),
  COUNT(arr_delay), SUM(CAST(arr_delay AS BIGINT)), COUNT(*) FILTER (WHERE arr_delay >= 15),
  SUM(CAST(distance AS BIGINT)), SUM(CAST(plane_seats AS BIGINT)), MAX(arr_delay)
FROM flights_enriched
GROUP BY carrier, origin;
