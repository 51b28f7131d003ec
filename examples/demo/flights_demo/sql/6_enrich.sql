-- Runs for ever: every flight that arrives in the log is joined with the dimensions as they are at that moment.
INSERT INTO flights_enriched
SELECT
  CAST(CONCAT_WS('-', CAST(f.`year` AS STRING), LPAD(CAST(f.`month` AS STRING), 2, '0'),
                 LPAD(CAST(f.`day` AS STRING), 2, '0')) AS DATE),
  f.carrier, f.flight, f.origin, f.dest, f.tailnum,
  f.dep_time, f.sched_dep_time, f.dep_delay, f.arr_time, f.sched_arr_time, f.arr_delay,
  f.air_time, f.distance, f.time_hour,
  a.name, o.name,
  d.name, d.lat, d.lon, d.alt, d.tzone,
  p.`year`, p.manufacturer, p.model, p.seats, p.engine,
  w.temp, w.wind_speed, w.wind_gust, w.precip, w.visib
FROM flights AS f
LEFT JOIN airlines FOR SYSTEM_TIME AS OF f.processed_at AS a ON f.carrier = a.carrier
LEFT JOIN airports FOR SYSTEM_TIME AS OF f.processed_at AS o ON f.origin = o.faa
LEFT JOIN airports FOR SYSTEM_TIME AS OF f.processed_at AS d ON f.dest = d.faa
LEFT JOIN planes FOR SYSTEM_TIME AS OF f.processed_at AS p ON f.tailnum = p.tailnum
LEFT JOIN weather FOR SYSTEM_TIME AS OF f.processed_at AS w ON f.origin = w.origin AND f.time_hour = w.time_hour;
