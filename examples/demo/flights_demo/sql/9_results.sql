-- Batch queries over the finished tables; each answer is compared with the direct computation under the name given here.
-- name: flights counted
SELECT COUNT(*) AS flights FROM flights;

-- name: enriched flights counted
SELECT COUNT(*) AS flights FROM flights_enriched;

-- name: flights
SELECT `year`, `month`, `day`, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay,
       carrier, flight, tailnum, origin, dest, air_time, distance, `hour`, `minute`, time_hour
FROM flights;

-- name: enriched flights
SELECT * FROM flights_enriched;

-- name: delays
SELECT * FROM delays;

-- name: delays by carrier
SELECT d.carrier, a.name AS airline, SUM(flights) AS flights, SUM(cancelled) AS cancelled,
       SUM(departed) AS departed, SUM(dep_delay_sum) AS dep_delay_sum,
       SUM(arrived) AS arrived, SUM(arr_delay_sum) AS arr_delay_sum, SUM(arrived_late) AS arrived_late,
       SUM(distance_sum) AS distance_sum, SUM(seats_sum) AS seats_sum, MAX(arr_delay_max) AS arr_delay_max
FROM delays AS d JOIN airlines AS a ON d.carrier = a.carrier
GROUP BY d.carrier, a.name;

-- name: one flight
SELECT * FROM flights_enriched
WHERE flight_date = DATE '2013-01-01' AND carrier = 'UA' AND flight = 1545 AND origin = 'EWR';
