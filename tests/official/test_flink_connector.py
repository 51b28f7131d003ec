"""The official Flink connector 0.9.1-incubating, as it is published, against this server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from official.compatibility import FLINK, Observations, read_page
from official.flink_session import FlinkError, FlinkSession, Rows
from official.recording_cluster import RecordingCluster

pytestmark = [pytest.mark.flink, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordingCluster]:
    with RecordingCluster(tmp_path_factory.mktemp("fluss") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def flink(cluster: RecordingCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkSession]:
    with FlinkSession(tmp_path_factory.mktemp("flink"), cluster.bootstrap_servers) as session:
        yield session


def values(rows: Rows) -> Rows:
    """Rows without their kinds, sorted."""
    return sorted((row[1:] for row in rows), key=repr)


def test_databases_and_tables(flink: FlinkSession) -> None:
    flink.batch("CREATE DATABASE ddl COMMENT 'a comment' WITH ('owner' = 'ada')")
    assert ["ddl"] in values(flink.batch("SHOW DATABASES"))
    flink.batch(
        "CREATE TABLE ddl.logs (a INT, b STRING COMMENT 'text', ts TIMESTAMP(3), WATERMARK FOR ts AS ts)"
        " WITH ('bucket.num' = '3', 'table.log.ttl' = '2 d')"
    )
    flink.batch("CREATE TABLE ddl.keyed (id BIGINT, v STRING, PRIMARY KEY (id) NOT ENFORCED)")
    assert values(flink.batch("SHOW TABLES FROM ddl")) == [["keyed"], ["logs"]]
    [[_, created]] = flink.batch("SHOW CREATE TABLE ddl.logs")
    for part in ("WATERMARK FOR `ts`", "COMMENT 'text'", "'bucket.num' = '3'", "'table.log.ttl' = '2 d'"):
        assert part in created
    with pytest.raises(FlinkError, match="TableAlreadyExist"):
        flink.batch("CREATE TABLE ddl.keyed (x INT)")
    with pytest.raises(FlinkError, match="not empty"):
        flink.batch("DROP DATABASE ddl")
    flink.batch("DROP TABLE ddl.keyed")
    assert values(flink.batch("SHOW TABLES FROM ddl")) == [["logs"]]
    flink.batch("DROP DATABASE ddl CASCADE")
    assert ["ddl"] not in values(flink.batch("SHOW DATABASES"))
    with pytest.raises(FlinkError, match=r"table\.log\.tll"):
        flink.batch("CREATE TABLE bad (x INT) WITH ('table.log.tll' = '1 d')")


def test_alter_table(flink: FlinkSession) -> None:
    flink.batch("CREATE TABLE altered (id INT, PRIMARY KEY (id) NOT ENFORCED)")
    flink.batch("ALTER TABLE altered SET ('table.log.tiered.local-segments' = '5', 'my.own' = 'x')")
    flink.batch("INSERT INTO altered VALUES (1)")
    flink.batch("ALTER TABLE altered ADD (n BIGINT)")
    flink.batch("INSERT INTO altered VALUES (2, 22)")
    [[_, created]] = flink.batch("SHOW CREATE TABLE altered")
    assert "'my.own' = 'x'" in created
    assert flink.batch("SELECT * FROM altered WHERE id = 1") == [["+I", 1, None]]
    assert flink.batch("SELECT * FROM altered WHERE id = 2") == [["+I", 2, 22]]


def test_a_log_table(flink: FlinkSession) -> None:
    flink.batch("CREATE TABLE logs (a INT, b STRING, c DOUBLE, d TIMESTAMP(3)) WITH ('bucket.num' = '2')")
    flink.batch(
        "INSERT INTO logs VALUES (1, 'x', 1.5, TIMESTAMP '2026-01-01 00:00:00'),"
        " (2, CAST(NULL AS STRING), 2.5, CAST(NULL AS TIMESTAMP(3)))"
    )
    assert values(flink.stream("SELECT a, b, d FROM logs", 2)) == [[1, "x", "2026-01-01 00:00:00"], [2, None, None]]
    assert flink.stream("SELECT a FROM logs /*+ OPTIONS('scan.startup.mode' = 'earliest') */ WHERE a > 1", 1) == [
        ["+I", 2]
    ]
    assert flink.batch("SELECT COUNT(*) FROM logs") == [["+I", 2]]
    assert len(flink.batch("SELECT * FROM logs LIMIT 1")) == 1


def test_a_primary_key_table(flink: FlinkSession) -> None:
    flink.batch("CREATE TABLE users (id BIGINT, name STRING, n INT, PRIMARY KEY (id) NOT ENFORCED)")
    flink.batch("INSERT INTO users VALUES (1, 'ada', 1), (2, 'bob', 2)")
    flink.batch("INSERT INTO users VALUES (1, 'Ada', 3)")
    assert flink.batch("SELECT * FROM users WHERE id = 1") == [["+I", 1, "Ada", 3]]
    assert values(flink.batch("SELECT * FROM users LIMIT 10")) == [[1, "Ada", 3], [2, "bob", 2]]
    assert flink.batch("SELECT COUNT(*) FROM users") == [["+I", 2]]
    assert flink.stream("SELECT * FROM users", 4) == [
        ["+I", 1, "ada", 1],
        ["+I", 2, "bob", 2],
        ["-U", 1, "ada", 1],
        ["+U", 1, "Ada", 3],
    ]


def test_partial_updates_and_updates_and_deletes_by_key(flink: FlinkSession) -> None:
    flink.batch("CREATE TABLE parts (id INT, a STRING, b STRING, PRIMARY KEY (id) NOT ENFORCED)")
    flink.batch("INSERT INTO parts (id, a) VALUES (1, 'a1'), (2, 'a2')")
    flink.batch("INSERT INTO parts (id, b) VALUES (1, 'b1')")
    assert flink.batch("SELECT * FROM parts WHERE id = 1") == [["+I", 1, "a1", "b1"]]
    flink.batch("UPDATE parts SET b = 'changed' WHERE id = 1")
    flink.batch("DELETE FROM parts WHERE id = 2")
    assert values(flink.batch("SELECT * FROM parts LIMIT 10")) == [[1, "a1", "changed"]]


def test_changelog_and_binlog(flink: FlinkSession) -> None:
    flink.batch("CREATE TABLE audited (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED)")
    flink.batch("INSERT INTO audited VALUES (1, 'a')")
    flink.batch("INSERT INTO audited VALUES (1, 'b')")
    flink.batch("DELETE FROM audited WHERE id = 1")
    assert flink.stream("SELECT _change_type, _log_offset, id, v FROM audited$changelog", 4) == [
        ["+I", "insert", 0, 1, "a"],
        ["+I", "update_before", 1, 1, "a"],
        ["+I", "update_after", 2, 1, "b"],
        ["+I", "delete", 3, 1, "b"],
    ]
    query = "SELECT _change_type, _log_offset, `before`.v, `after`.v FROM audited$binlog"
    assert flink.stream(query, 3) == [
        ["+I", "insert", 0, None, "a"],
        ["+I", "update", 1, "a", "b"],
        ["+I", "delete", 3, "b", None],
    ]


@pytest.mark.parametrize(
    "hint",
    [
        "",
        "/*+ OPTIONS('lookup.async' = 'false', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '10') */",
    ],
)
def test_lookup_join(flink: FlinkSession, hint: str) -> None:
    suffix = "cached" if hint else "async"
    flink.batch(f"CREATE TABLE orders_{suffix} (o INT, c INT, p AS PROCTIME())")
    flink.batch(f"CREATE TABLE customers_{suffix} (id INT, name STRING, PRIMARY KEY (id) NOT ENFORCED)")
    flink.batch(f"INSERT INTO customers_{suffix} VALUES (1, 'ada'), (2, 'bob')")
    flink.batch(f"INSERT INTO orders_{suffix} VALUES (10, 1), (11, 2), (12, 3), (13, 1)")
    joined = flink.stream(
        f"SELECT o, name FROM orders_{suffix} LEFT JOIN customers_{suffix} {hint} FOR SYSTEM_TIME AS OF p"
        " ON c = customers_{0}.id".format(suffix),
        4,
    )
    assert values(joined) == [[10, "ada"], [11, "bob"], [12, None], [13, "ada"]]


def test_lookup_join_by_a_prefix(flink: FlinkSession) -> None:
    flink.batch("CREATE TABLE probes (c STRING, p AS PROCTIME())")
    flink.batch(
        "CREATE TABLE cities (city STRING, id INT, v STRING, PRIMARY KEY (city, id) NOT ENFORCED)"
        " WITH ('bucket.key' = 'city')"
    )
    flink.batch("INSERT INTO cities VALUES ('a', 1, 'x'), ('a', 2, 'y'), ('b', 1, 'z')")
    flink.batch("INSERT INTO probes VALUES ('a'), ('b')")
    joined = flink.stream("SELECT c, id, v FROM probes JOIN cities FOR SYSTEM_TIME AS OF p ON c = cities.city", 3)
    assert values(joined) == [["a", 1, "x"], ["a", 2, "y"], ["b", 1, "z"]]


def test_lookup_join_that_inserts_what_is_missing(flink: FlinkSession) -> None:
    flink.batch("CREATE TABLE names (name STRING, p AS PROCTIME())")
    flink.batch(
        "CREATE TABLE ids (name STRING, id BIGINT, PRIMARY KEY (name) NOT ENFORCED)"
        " WITH ('auto-increment.fields' = 'id')"
    )
    flink.batch("INSERT INTO names VALUES ('a'), ('b'), ('a')")
    joined = flink.stream(
        "SELECT names.name, id FROM names JOIN ids /*+ OPTIONS('lookup.insert-if-not-exists' = 'true') */"
        " FOR SYSTEM_TIME AS OF p ON names.name = ids.name",
        3,
    )
    found: dict[str, int] = {row[0]: row[1] for row in values(joined)}
    assert sorted(found.values()) == [1, 2]
    assert values(joined) == [["a", found["a"]], ["a", found["a"]], ["b", found["b"]]]


def test_a_partitioned_table(flink: FlinkSession) -> None:
    flink.batch("CREATE TABLE visits (id INT, `day` STRING, v STRING) PARTITIONED BY (`day`)")
    flink.batch("ALTER TABLE visits ADD PARTITION (`day` = 'a')")
    flink.batch("INSERT INTO visits VALUES (1, 'a', 'x'), (2, 'b', 'y'), (3, 'c', 'z')")
    assert values(flink.batch("SHOW PARTITIONS visits")) == [["day=a"], ["day=b"], ["day=c"]]
    assert values(flink.stream("SELECT * FROM visits WHERE `day` = 'b'", 1)) == [[2, "b", "y"]]
    assert values(flink.stream("SELECT id FROM visits", 3)) == [[1], [2], [3]]
    flink.batch("ALTER TABLE visits DROP PARTITION (`day` = 'a')")
    assert values(flink.batch("SHOW PARTITIONS visits")) == [["day=b"], ["day=c"]]


def test_procedures(flink: FlinkSession) -> None:
    key = "log.retention.roll-active-segment.enabled"
    flink.batch(f"CALL sys.set_cluster_configs('{key}', 'true')")
    found = flink.batch(f"CALL sys.get_cluster_configs('{key}')")
    assert found[0][1:3] == [key, "true"], found
    effective = {row[1]: row[2:] for row in flink.batch("CALL sys.get_cluster_configs()")}
    assert effective[key] == ["true", "DYNAMIC_SERVER_CONFIG"]
    assert effective["log.segment.file-size"] == ["1024mb", "INITIAL_SERVER_CONFIG"], "defaults are in effect, too"
    with pytest.raises(FlinkError, match="No Authorizer is configured"):
        flink.batch("CALL sys.list_acl(resource => 'ANY')")


def test_a_first_row_and_a_versioned_table(flink: FlinkSession) -> None:
    flink.batch(
        "CREATE TABLE firsts (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED)"
        " WITH ('table.merge-engine' = 'first_row')"
    )
    flink.batch("INSERT INTO firsts VALUES (1, 'a'), (1, 'b'), (2, 'c')")
    assert values(flink.batch("SELECT * FROM firsts LIMIT 10")) == [[1, "a"], [2, "c"]]
    flink.batch(
        "CREATE TABLE versions (id INT, v INT, PRIMARY KEY (id) NOT ENFORCED)"
        " WITH ('table.merge-engine' = 'versioned', 'table.merge-engine.versioned.ver-column' = 'v')"
    )
    flink.batch("INSERT INTO versions VALUES (1, 5)")
    flink.batch("INSERT INTO versions VALUES (1, 4)")
    assert values(flink.batch("SELECT * FROM versions LIMIT 10")) == [[1, 5]]


def test_an_aggregation_table(flink: FlinkSession) -> None:
    flink.batch(
        "CREATE TABLE sums (id INT, total BIGINT, top DOUBLE, words STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ("
        " 'table.merge-engine' = 'aggregation', 'fields.total.agg' = 'sum', 'fields.top.agg' = 'max',"
        " 'fields.words.agg' = 'listagg', 'fields.words.listagg.delimiter' = '|')"
    )
    flink.stream("INSERT INTO sums VALUES (1, 10, 1.5, 'a'), (2, 7, 0.0, 'z'), (1, 5, 9.5, 'b')")
    flink.stream("INSERT INTO sums VALUES (1, 1, 2.5, 'c')")
    assert values(flink.batch("SELECT * FROM sums LIMIT 10")) == [[1, 16, 9.5, "a|b|c"], [2, 7, 0.0, "z"]]


def test_a_job_that_writes_what_another_reads(flink: FlinkSession) -> None:
    flink.batch("CREATE TABLE clicks (page STRING)")
    flink.batch("CREATE TABLE counts (page STRING, n BIGINT, PRIMARY KEY (page) NOT ENFORCED)")
    job = flink.start("INSERT INTO counts SELECT page, COUNT(*) FROM clicks GROUP BY page")
    flink.batch("INSERT INTO clicks VALUES ('a'), ('b'), ('a')")
    found = flink.stream("SELECT page, n FROM counts WHERE n = 2", 1)
    flink.cancel(job)
    assert found[0][1:] == ["a", 2]


def test_what_the_connector_called(cluster: RecordingCluster, flink: FlinkSession) -> None:
    seen = Observations()
    seen.add(FLINK, cluster.calls())
    seen.write_if_asked(cluster.port)
    cells = {key: cell for (key, column), cell in read_page().items() if column == FLINK and cell != "-"}
    assert seen.cells(FLINK) == cells, "make compatibility writes the page anew"
