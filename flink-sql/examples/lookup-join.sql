-- Enriches the orders of quickstart.sql with the customer as of now. The job keeps running in the cluster.

CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '127.0.0.1:9123');
USE CATALOG fluss;
USE shop;
SET 'execution.checkpointing.interval' = '10 s';

CREATE TABLE IF NOT EXISTS enriched_orders (
  order_id BIGINT,
  customer STRING,
  city     STRING,
  amount   DECIMAL(10, 2),
  PRIMARY KEY (order_id) NOT ENFORCED
);

-- Asked asynchronously; the keys of one moment travel in one request. The cache spares the server
-- customers that were asked for in the last minute.
INSERT INTO enriched_orders
SELECT o.order_id, c.name, c.city, o.amount
FROM (SELECT *, PROCTIME() AS now_ FROM orders) AS o
LEFT JOIN customers
  /*+ OPTIONS('lookup.cache' = 'PARTIAL',
              'lookup.partial-cache.max-rows' = '10000',
              'lookup.partial-cache.expire-after-write' = '1 min') */
  FOR SYSTEM_TIME AS OF o.now_ AS c
  ON o.customer_id = c.customer_id;
