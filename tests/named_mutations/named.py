"""Faults that once lived: no test noticed them when they were made on purpose.

``test_named_mutations.py`` makes each of them in a copy of the package, and then every test that is named here must
fail.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NamedMutation:
    """One fault.

    Attributes:
        why: what it breaks.
        file: path in the package.
        before: text that occurs once in the file.
        after: what it becomes.
        tests: those that must fail: each of them, in at least one of its cases.
    """

    why: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


NAMED = {
    "latest-offset-is-the-log-end": NamedMutation(
        why="LIST_OFFSETS returns the log end offset instead of the high watermark: "
        "readers wait for rows that may never be committed",
        file="tablet/read_service.py",
        before="""\
        if request.offset_type == OFFSET_LATEST:
            return replica.high_watermark.value
""",
        after="""\
        if request.offset_type == OFFSET_LATEST:
            return replica.log.end_offset
""",
        tests=("tests/unit/tablet/test_read_service.py::test_the_latest_offset_is_the_high_watermark",),
    ),
    "retention-beside-an-uncertain-store": NamedMutation(
        why="retention deletes log that the store may still have to be built from",
        file="kv/committed_rows.py",
        before="return 0 if self._damaged or self._durable.may_exceed_log else self._durable.offset",
        after="return 0 if self._damaged else self._durable.offset",
        tests=(
            "tests/unit/replica/test_retention.py::test_a_store_that_may_know_more_than_the_log_keeps_the_changelog",
        ),
    ),
    "failed-periodic-flush": NamedMutation(
        why="a replica stays online after its log could not be flushed",
        file="replica/replica.py",
        before="""\
                await self._flush_pool.run(self.log.flush)
            except FlussError as error:
                self._go_offline(error)
""",
        after="""\
                await self._flush_pool.run(self.log.flush)
            except FlussError as error:
                logger.error("%s", error)
""",
        tests=("tests/unit/replica/test_commit.py::test_a_failed_periodic_flush_ends_the_writes",),
    ),
    "writer-needs-all-tables": NamedMutation(
        why="INIT_WRITER requires the permission for all tables instead of one",
        file="security/rules.py",
        before="if not any(permissions.allows(Operation.WRITE, resource) for resource in resources):",
        after="if not all(permissions.allows(Operation.WRITE, resource) for resource in resources):",
        tests=(
            "tests/unit/security/test_authorization_interceptor.py"
            "::test_a_writer_needs_the_right_to_write_one_of_its_tables",
        ),
    ),
    "nan-bounds-are-trusted": NamedMutation(
        why="statistics with NaN bounds exclude batches that have matching rows",
        file="formats/predicate.py",
        before="return any(isinstance(value, float) and math.isnan(value) for value in values)",
        after="return False",
        tests=("tests/property/formats/test_predicates.py::test_bounds_and_literals_that_are_nan_exclude_nothing",),
    ),
    "buffer-one-byte-short": NamedMutation(
        why="an Arrow buffer that is one byte too short is stored",
        file="formats/batch_validation.py",
        before="        if length < needed:",
        after="        if length < needed - 1:",
        tests=("tests/unit/formats/test_batch_validation.py::test_a_buffer_that_is_one_byte_short_is_refused",),
    ),
    "busy-scan-expires": NamedMutation(
        why="a scan ends while one of its requests is still running",
        file="tablet/kv_scanners.py",
        before="if not session.busy and now - session.used_at > self._config.idle_limit_s:",
        after="if now - session.used_at > self._config.idle_limit_s:",
        tests=("tests/unit/tablet/test_kv_scanners.py::test_a_scan_that_is_being_read_does_not_expire",),
    ),
    "ids-without-fencing": NamedMutation(
        why="two coordinators give the same ids of an auto-increment column",
        file="coordinator/id_counters.py",
        before="operations.append(Set(path, value, node.version))",
        after="operations.append(Set(path, value))",
        tests=("tests/unit/coordinator/test_catalog.py::test_a_reservation_that_raced_with_another_one_is_refused",),
    ),
    "ids-of-a-dropped-table": NamedMutation(
        why="ids are reserved for a table that another coordinator has dropped meanwhile",
        file="coordinator/id_counters.py",
        before="operations: list[StoreOperation] = await self._checks_of(table)",
        after="operations: list[StoreOperation] = []",
        tests=("tests/unit/coordinator/test_catalog.py::test_a_reservation_that_raced_with_a_drop_is_refused",),
    ),
    "equal-disk-bounds": NamedMutation(
        why="the disk's recover ratio may be equal to its limit, so that writes stop and start with every sample",
        file="tablet/disk_write_lock.py",
        before="    if recover >= limit:",
        after="    if recover > limit:",
        tests=("tests/unit/tablet/test_disk_write_lock.py::test_bounds_that_are_equal_or_reversed_are_refused",),
    ),
    "modified-time-of-a-table-stays": NamedMutation(
        why="an altered table keeps its time of modification",
        file="coordinator/catalog.py",
        before="modified_time=max(self._clock.now_ms(), current.modified_time))",
        after="modified_time=current.modified_time)",
        tests=("tests/unit/coordinator/test_ddl.py::test_an_altered_table",),
    ),
    "modified-time-of-a-table-goes-back": NamedMutation(
        why="the time of modification follows a clock that was set back",
        file="coordinator/catalog.py",
        before="modified_time=max(self._clock.now_ms(), current.modified_time))",
        after="modified_time=self._clock.now_ms())",
        tests=(
            "tests/unit/coordinator/test_ddl.py::test_times_of_modification_never_go_backwards_and_survive_a_restart",
        ),
    ),
    "modified-time-of-a-database-stays": NamedMutation(
        why="an altered database keeps its time of modification",
        file="coordinator/catalog.py",
        before="modified = max(self._clock.now_ms(), current.modified_time)",
        after="modified = current.modified_time",
        tests=(
            "tests/unit/coordinator/test_ddl.py::test_an_altered_database",
            "tests/unit/coordinator/test_ddl.py::test_times_of_modification_never_go_backwards_and_survive_a_restart",
        ),
    ),
    "modified-time-of-a-database-goes-back": NamedMutation(
        why="the time of modification follows a clock that was set back",
        file="coordinator/catalog.py",
        before="modified = max(self._clock.now_ms(), current.modified_time)",
        after="modified = self._clock.now_ms()",
        tests=(
            "tests/unit/coordinator/test_ddl.py::test_times_of_modification_never_go_backwards_and_survive_a_restart",
        ),
    ),
    "failed-table-keeps-its-nodes": NamedMutation(
        why="the nodes of a table whose creation failed stay in the store",
        file="coordinator/catalog.py",
        before="""\
        if table.table_id in self._hidden:
            await self._delete_table(table, also)
""",
        after="""\
        if table.table_id in self._hidden:
            pass
""",
        tests=(
            "tests/unit/coordinator/test_ddl.py::test_a_failed_creation_leaves_nothing",
            "tests/unit/coordinator/test_ddl.py::test_a_failed_creation_leaves_nothing_in_the_store",
        ),
    ),
    "failed-table-keeps-its-assignment": NamedMutation(
        why="the assignment of a table whose creation failed stays in the store",
        file="coordinator/catalog.py",
        before="""\
        await self._commit_deletion(path, registration, await self._assignment_deletions([table]), also)

    # Partitions
""",
        after="""\
        await self._commit_deletion(path, registration, [], also)

    # Partitions
""",
        tests=("tests/unit/coordinator/test_ddl.py::test_a_failed_creation_leaves_nothing_in_the_store",),
    ),
    "failed-table-keeps-its-schema": NamedMutation(
        why="the schema of a table that was never created is remembered until a restart",
        file="coordinator/catalog.py",
        before="""\
        self._incomplete.discard(table.table_id)
        self._schemas.pop(table.table_id, None)
""",
        after="""\
        self._incomplete.discard(table.table_id)
""",
        tests=(
            "tests/unit/coordinator/test_catalog.py::test_a_prepared_table_is_invisible_but_has_a_schema",
            "tests/unit/coordinator/test_ddl.py::test_a_failed_creation_leaves_nothing_in_the_store",
        ),
    ),
    "failed-table-is-not-discarded": NamedMutation(
        why="a table whose creation failed is not discarded at all",
        file="coordinator/replicated_tables.py",
        before="""\
        except BaseException:
            await self._discard_table(table)
            raise
""",
        after="""\
        except BaseException:
            raise
""",
        tests=("tests/unit/coordinator/test_ddl.py::test_a_failed_creation_leaves_nothing_in_the_store",),
    ),
}
