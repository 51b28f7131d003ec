"""The connector on a server that requires authentication and checks permissions."""

from __future__ import annotations

from pathlib import Path

import pytest
from py4j.protocol import Py4JJavaError

from flink.sql import environment, insert, rows
from flink.standalone_flink import StandaloneFlink
from fluss_server.testing import LocalCluster

pytestmark = [pytest.mark.flink, pytest.mark.slow]


def catalog(name: str, servers: str, user: str, password: str) -> str:
    return (
        f"CREATE CATALOG {name} WITH ('type' = 'fluss', 'bootstrap.servers' = '{servers}',"
        " 'client.security.protocol' = 'SASL', 'client.security.sasl.mechanism' = 'PLAIN',"
        f" 'client.security.sasl.username' = '{user}', 'client.security.sasl.password' = '{password}')"
    )


def test_jobs_log_in_with_the_catalogs_options(flink: StandaloneFlink, tmp_path: Path) -> None:
    options = {
        "bind.listeners": "OPEN://127.0.0.1:0,CLIENT://127.0.0.1:0",
        "security.protocol.map": "CLIENT:SASL",
        "security.sasl.plain.credentials": "admin:admin-pass,bob:bob-pass",
        "authorizer.enabled": "true",
        "super.users": "User:admin;User:ANONYMOUS",
    }
    with LocalCluster(tmp_path, options=options, tablet_servers=1) as cluster:
        (line,) = [line for line in cluster.log.splitlines() if line.startswith("Listener CLIENT: ")]
        servers = line.partition("bootstrap.servers=")[2]
        env = environment(flink, cluster.bootstrap_servers, batch=True)
        env.execute_sql(catalog("admin", servers, "admin", "admin-pass"))
        env.use_catalog("admin")
        env.execute_sql("CREATE TABLE orders (id INT, item STRING, PRIMARY KEY (id) NOT ENFORCED)")
        insert(env, "INSERT INTO orders VALUES (1, 'tea'), (2, 'rice')")
        assert sorted(rows(env, "SELECT * FROM orders")) == [(1, "tea"), (2, "rice")]
        shown = str(env.execute_sql("SHOW CREATE TABLE orders").collect().__next__())
        assert "admin-pass" not in shown, "no password in the definition of a table"

        with pytest.raises(Py4JJavaError, match="refuses the credentials of bob"):
            env.execute_sql(catalog("wrong", servers, "bob", "guessed"))

        env.execute_sql(catalog("bob", servers, "bob", "bob-pass"))
        env.use_catalog("bob")
        assert rows(env, "SHOW TABLES") == []
        with pytest.raises(Py4JJavaError, match="no authorization to operate DESCRIBE"):
            env.execute_sql("SELECT * FROM orders")
