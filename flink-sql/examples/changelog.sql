-- A continuous aggregation written to a primary-key table, and its changelog read beside it.
-- Two jobs that keep running, so Flink needs two task slots (taskmanager.numberOfTaskSlots). Ctrl-C ends the second.

CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '127.0.0.1:9123');
USE CATALOG fluss;
USE shop;
SET 'execution.checkpointing.interval' = '10 s';
SET 'sql-client.execution.result-mode' = 'tableau';

CREATE TABLE IF NOT EXISTS revenue (
  customer_id INT,
  orders      BIGINT,
  total       DECIMAL(38, 2),
  PRIMARY KEY (customer_id) NOT ENFORCED
);

-- Updates replace the row of their key; all rows are with the server when a checkpoint completes.
INSERT INTO revenue
SELECT customer_id, COUNT(*), SUM(amount) FROM orders GROUP BY customer_id;

-- First the state, then every change behind it: +I, -U/+U, -D.
SELECT * FROM revenue;
