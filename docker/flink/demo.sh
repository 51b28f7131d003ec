#!/bin/bash
# Submits the demo, as soon as Flink and Fluss are there, and waits: `docker compose exec sql-client /opt/demo/demo.sh result`
# shows the result so far.
set -u
case ${1:-run} in
  result) exec /opt/flink/bin/sql-client.sh -hist /tmp/history -f /opt/demo/result.sql ;;
esac
sql() {
  /opt/flink/bin/sql-client.sh -hist /tmp/history -f "$1" > /tmp/demo.log 2>&1 && ! grep -q '\[ERROR\]' /tmp/demo.log
}
for port in coordinator-0/9123 jobmanager/8081; do
  until (exec 3<>"/dev/tcp/$port") 2>/dev/null; do sleep 1; done
done
# Tables of three replicas need three tablet servers; until they are members, CREATE TABLE fails, and the next try begins again.
until sql /opt/demo/tables.sql; do
  grep -A3 '\[ERROR\]' /tmp/demo.log
  sleep 3
done
sed -e "s/@LAST@/$((ORDERS - 1))/" -e "s/@RATE@/$RATE/" /opt/demo/jobs.sql > /tmp/jobs.sql
sql /tmp/jobs.sql || { cat /tmp/demo.log; exit 1; }
grep -E 'Job ID|successfully' /tmp/demo.log
echo 'The demo runs.'
exec sleep infinity
