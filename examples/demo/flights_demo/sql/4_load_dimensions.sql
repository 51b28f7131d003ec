INSERT INTO airlines SELECT * FROM default_catalog.default_database.source_airlines;

INSERT INTO airports SELECT * FROM default_catalog.default_database.source_airports;

INSERT INTO planes SELECT * FROM default_catalog.default_database.source_planes;

INSERT INTO weather
SELECT origin, TO_TIMESTAMP(time_hour, 'yyyy-MM-dd''T''HH:mm:ss''Z'''),
       temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib
FROM default_catalog.default_database.source_weather;
