-- Windows of event time over the orders of quickstart.sql. The query keeps running: Ctrl-C ends it.
-- The first window is printed after ten seconds, although some of the table's four buckets are empty: a bucket
-- without unread rows holds back the watermark for ten seconds only.

SET 'sql-client.execution.result-mode' = 'tableau';

CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '127.0.0.1:9123');
USE CATALOG fluss;
USE shop;

SELECT window_start, COUNT(*) AS orders, SUM(amount) AS total
FROM TUMBLE(TABLE orders, DESCRIPTOR(ordered_at), INTERVAL '10' SECOND)
GROUP BY window_start, window_end;
