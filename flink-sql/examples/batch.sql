-- Batch reads of the tables of quickstart.sql.

CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '127.0.0.1:9123');
USE CATALOG fluss;
USE shop;
SET 'execution.runtime-mode' = 'batch';
SET 'sql-client.execution.result-mode' = 'tableau';
SET 'table.dml-sync' = 'true';

-- Everything that is in the tables when the query starts.
SELECT * FROM customers;
SELECT customer_id, COUNT(*) AS orders, SUM(amount) AS total FROM orders GROUP BY customer_id;

-- One request each: the number of rows, one row by its key, some rows.
SELECT COUNT(*) FROM orders;
SELECT * FROM customers WHERE customer_id = 2;
SELECT * FROM orders LIMIT 2;

-- Rows written since a time (epoch milliseconds, or a time in the session's zone).
SELECT * FROM orders
  /*+ OPTIONS('scan.startup.mode' = 'timestamp', 'scan.startup.timestamp' = '2026-01-01 00:00:00') */;

-- Changes of single rows.
UPDATE customers SET city = 'Austin' WHERE customer_id = 3;
DELETE FROM customers WHERE customer_id = 2;
