INSERT INTO flights
SELECT `year`, `month`, `day`, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay,
       carrier, flight, tailnum, origin, dest, air_time, distance, `hour`, `minute`,
       TO_TIMESTAMP(time_hour, 'yyyy-MM-dd''T''HH:mm:ss''Z''')
FROM default_catalog.default_database.source_flights;
