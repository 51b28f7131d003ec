-- Orders come in as a stream, are priced by a lookup join, and are added up for each product. Every bucket of every table has
-- a replica on each of the three tablet servers. @ORDERS@ and @RATE@ are replaced by demo.sh.

CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = 'coordinator-0:9123,coordinator-1:9123');
USE CATALOG fluss;
CREATE DATABASE IF NOT EXISTS shop;
USE shop;

CREATE TABLE IF NOT EXISTS orders (order_id BIGINT, product_id BIGINT, pieces BIGINT)
  WITH ('bucket.num' = '3', 'table.replication.factor' = '3');
CREATE TABLE IF NOT EXISTS products (product_id BIGINT, name STRING, price BIGINT, PRIMARY KEY (product_id) NOT ENFORCED)
  WITH ('bucket.num' = '3', 'table.replication.factor' = '3');
CREATE TABLE IF NOT EXISTS revenue (name STRING, orders BIGINT, total BIGINT, PRIMARY KEY (name) NOT ENFORCED)
  WITH ('bucket.num' = '3', 'table.replication.factor' = '3');

SET 'table.dml-sync' = 'true';
INSERT INTO products VALUES (0, 'tea', 3), (1, 'coffee', 5), (2, 'milk', 2), (3, 'bread', 4), (4, 'apples', 7);
SET 'table.dml-sync' = 'false';

CREATE TEMPORARY TABLE arriving (order_id BIGINT) WITH (
  'connector' = 'datagen',
  'rows-per-second' = '@RATE@',
  'fields.order_id.kind' = 'sequence',
  'fields.order_id.start' = '0',
  'fields.order_id.end' = '@LAST@'
);

SET 'pipeline.name' = 'revenue by product';
INSERT INTO revenue
SELECT p.name, COUNT(*), SUM(o.pieces * p.price)
FROM (SELECT *, PROCTIME() AS arrived FROM orders) AS o
JOIN products FOR SYSTEM_TIME AS OF o.arrived AS p ON o.product_id = p.product_id
GROUP BY p.name;

SET 'pipeline.name' = 'orders';
INSERT INTO orders SELECT order_id, MOD(order_id, 5), 1 + MOD(order_id, 7) FROM arriving;
