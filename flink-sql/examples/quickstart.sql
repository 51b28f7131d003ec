-- A log table and a primary-key table in a server started with `fluss local`.
-- Run: sql-client.sh -f quickstart.sql   (the connector's jar in Flink's lib/)

SET 'execution.runtime-mode' = 'batch';
-- A file has no screen to page through: results are printed as tables.
SET 'sql-client.execution.result-mode' = 'tableau';
-- An INSERT returns when its rows are written, not when its job is submitted.
SET 'table.dml-sync' = 'true';

CREATE CATALOG fluss WITH (
  'type' = 'fluss',
  'bootstrap.servers' = '127.0.0.1:9123'
);
USE CATALOG fluss;
CREATE DATABASE IF NOT EXISTS shop COMMENT 'orders and customers';
USE shop;

-- Without a primary key: an append-only log. Rows are spread over the buckets.
CREATE TABLE IF NOT EXISTS orders (
  order_id    BIGINT,
  customer_id INT,
  amount      DECIMAL(10, 2) COMMENT 'gross, in euros',
  ordered_at  TIMESTAMP(3),
  net         AS amount / 1.19,
  WATERMARK FOR ordered_at AS ordered_at - INTERVAL '5' SECOND
) COMMENT 'every order once'
WITH ('bucket.num' = '4');

-- With a primary key: one row per key, and a changelog of all changes.
CREATE TABLE IF NOT EXISTS customers (
  customer_id INT,
  name        STRING,
  city        STRING,
  PRIMARY KEY (customer_id) NOT ENFORCED
) WITH ('bucket.num' = '2');

INSERT INTO customers VALUES
  (1, 'Ada',   'London'),
  (2, 'Grace', 'New York'),
  (3, 'Edsger', 'Rotterdam');

INSERT INTO orders VALUES
  (100, 1, 119.00, TIMESTAMP '2026-01-01 10:00:00'),
  (101, 2,  23.80, TIMESTAMP '2026-01-01 10:00:07'),
  (102, 1,  11.90, TIMESTAMP '2026-01-01 10:01:00');

SHOW CREATE TABLE orders;
SELECT name, amount FROM orders JOIN customers ON orders.customer_id = customers.customer_id;
