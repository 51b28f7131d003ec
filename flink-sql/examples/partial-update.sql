-- Two streams that fill different columns of the same rows.

SET 'execution.runtime-mode' = 'batch';
SET 'sql-client.execution.result-mode' = 'tableau';
SET 'table.dml-sync' = 'true';

CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '127.0.0.1:9123');
USE CATALOG fluss;
CREATE DATABASE IF NOT EXISTS shop;
USE shop;

CREATE TABLE IF NOT EXISTS shipments (
  order_id   BIGINT,
  carrier    STRING,
  shipped_at TIMESTAMP(3),
  signed_by  STRING,
  PRIMARY KEY (order_id) NOT ENFORCED
);

-- An INSERT that names the key and some columns leaves the other columns as they are.
INSERT INTO shipments (order_id, carrier, shipped_at)
  VALUES (100, 'DHL', TIMESTAMP '2026-01-02 08:00:00');
INSERT INTO shipments (order_id, signed_by) VALUES (100, 'Ada');

SELECT * FROM shipments WHERE order_id = 100;
