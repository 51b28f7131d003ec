-- ${bootstrap} is the address that `fluss local` prints.
CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '${bootstrap}');
CREATE DATABASE IF NOT EXISTS fluss.nyc;
USE CATALOG fluss;
USE nyc;
