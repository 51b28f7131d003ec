-- Runs for ever beside the aggregation: every change of the result, as +I, -U and +U rows.
SELECT carrier, origin, flights, cancelled, departed, dep_delay_sum,
       arrived, arr_delay_sum, arrived_late, distance_sum, seats_sum, arr_delay_max
FROM delays;
