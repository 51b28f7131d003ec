-- The two jobs of the demo; @LAST@ and @RATE@ are replaced by demo.sh. They are submitted once: again would be other orders.

CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = 'coordinator-0:9123,coordinator-1:9123');
USE CATALOG fluss;
USE shop;

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
