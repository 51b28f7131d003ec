-- Orders come in as a stream, are priced by a lookup join, and are added up for each product. Every bucket of every table has
-- a replica on each of the three tablet servers.

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
