-- Dimensions: primary-key tables, looked up by key. The small ones are cached by the lookup join.
CREATE TABLE airlines (
  carrier STRING NOT NULL PRIMARY KEY NOT ENFORCED,
  name STRING
) WITH ('bucket.num' = '1', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '10000');

CREATE TABLE airports (
  faa STRING NOT NULL PRIMARY KEY NOT ENFORCED,
  name STRING, lat DOUBLE, lon DOUBLE, alt INT, tz INT, dst STRING, tzone STRING
) WITH ('bucket.num' = '1', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '10000');

CREATE TABLE planes (
  tailnum STRING NOT NULL PRIMARY KEY NOT ENFORCED,
  `year` INT, type STRING, manufacturer STRING, model STRING,
  engines INT, seats INT, speed INT, engine STRING
) WITH ('bucket.num' = '2');

CREATE TABLE weather (
  origin STRING NOT NULL,
  time_hour TIMESTAMP(3) NOT NULL COMMENT 'UTC',
  temp DOUBLE, dewp DOUBLE, humid DOUBLE, wind_dir INT, wind_speed DOUBLE, wind_gust DOUBLE,
  precip DOUBLE, pressure DOUBLE, visib DOUBLE,
  PRIMARY KEY (origin, time_hour) NOT ENFORCED
) WITH ('bucket.num' = '2');

-- The stream of flights: a log table. The computed column makes it the left side of lookup joins.
CREATE TABLE flights (
  `year` INT NOT NULL, `month` INT NOT NULL, `day` INT NOT NULL,
  dep_time INT COMMENT 'hhmm local, NULL = cancelled', sched_dep_time INT, dep_delay INT COMMENT 'minutes',
  arr_time INT, sched_arr_time INT, arr_delay INT COMMENT 'minutes, NULL = cancelled or diverted',
  carrier STRING NOT NULL, flight INT NOT NULL, tailnum STRING, origin STRING NOT NULL, dest STRING,
  air_time INT, distance INT, `hour` INT, `minute` INT,
  time_hour TIMESTAMP(3) COMMENT 'scheduled hour of departure, UTC',
  processed_at AS PROCTIME()
) WITH ('bucket.num' = '4');

CREATE TABLE flights_enriched (
  flight_date DATE NOT NULL, carrier STRING NOT NULL, flight INT NOT NULL, origin STRING NOT NULL,
  dest STRING, tailnum STRING,
  dep_time INT, sched_dep_time INT, dep_delay INT, arr_time INT, sched_arr_time INT, arr_delay INT,
  air_time INT, distance INT, time_hour TIMESTAMP(3),
  airline STRING, origin_name STRING,
  dest_name STRING, dest_lat DOUBLE, dest_lon DOUBLE, dest_alt INT, dest_tzone STRING,
  plane_year INT, plane_manufacturer STRING, plane_model STRING, plane_seats INT, plane_engine STRING,
  temp DOUBLE, wind_speed DOUBLE, wind_gust DOUBLE, precip DOUBLE, visib DOUBLE,
  PRIMARY KEY (flight_date, carrier, flight, origin) NOT ENFORCED
) WITH ('bucket.num' = '4');

-- The result: delays per carrier and origin, always up to date. Whole minutes, so that every sum is exact.
CREATE TABLE delays (
  carrier STRING NOT NULL, origin STRING NOT NULL,
  flights BIGINT, cancelled BIGINT,
  departed BIGINT, dep_delay_sum BIGINT,
  arrived BIGINT, arr_delay_sum BIGINT, arrived_late BIGINT COMMENT '15 minutes or more',
  distance_sum BIGINT, seats_sum BIGINT, arr_delay_max INT,
  PRIMARY KEY (carrier, origin) NOT ENFORCED
) WITH ('bucket.num' = '2');
