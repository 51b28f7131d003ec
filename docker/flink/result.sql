SET 'sql-client.execution.result-mode' = 'tableau';
SET 'execution.runtime-mode' = 'batch';
CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = 'coordinator-0:9123,coordinator-1:9123');
USE CATALOG fluss;
USE shop;
SELECT COUNT(*) AS arrived, COUNT(DISTINCT order_id) AS different FROM orders;
SELECT name, orders, total FROM revenue ORDER BY name;
