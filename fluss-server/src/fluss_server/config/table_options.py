"""Options of a table: the complete list of Apache Fluss, so that tables of every client are understood.

Which values this version accepts, the coordinator decides when a table is created. An option whose description says
"kept only" is stored and handed out, and has no effect on this server.
"""

from __future__ import annotations

from collections.abc import Mapping

from fluss_server.config.option import MAX_INT, Option, OptionType, option_table

_KEPT = " Kept only."
_NEGATIVE = -MAX_INT - 1

TABLE_OPTIONS: Mapping[str, Option] = option_table(
    (
        Option(
            "table.replication.factor", OptionType.INT, None, "Replicas of each bucket.", minimum=1, maximum=MAX_INT
        ),
        Option(
            "table.log.format",
            OptionType.CHOICE,
            "ARROW",
            "Encoding of the log. Projection on the server needs ARROW.",
            choices=("ARROW", "INDEXED", "COMPACTED"),
        ),
        Option(
            "table.log.arrow.compression.type",
            OptionType.CHOICE,
            "ZSTD",
            "Compression of Arrow batches, by writers of log tables and by the server for changelogs.",
            choices=("NONE", "LZ4_FRAME", "ZSTD"),
        ),
        Option(
            "table.log.arrow.compression.zstd.level",
            OptionType.INT,
            "3",
            "Level of ZSTD.",
            minimum=1,
            maximum=22,
        ),
        Option(
            "table.kv.format",
            OptionType.CHOICE,
            "COMPACTED",
            "Encoding of the rows of a primary-key table.",
            choices=("COMPACTED", "INDEXED"),
        ),
        Option(
            "table.kv.format-version",
            OptionType.INT,
            None,
            "Version of the encoding of keys; 2 for new primary-key tables.",
            minimum=1,
            maximum=2,
        ),
        Option(
            "table.kv.standby-replica.enabled",
            OptionType.BOOL,
            None,
            "Whether followers of a bucket keep its rows and so are ready to lead it; how many says"
            " kv.standby-replica.number. Not set: they do. Only for tables with a primary key.",
            dynamic=True,
        ),
        Option(
            "table.merge-engine",
            OptionType.CHOICE,
            None,
            "How rows with the same key are merged; not set: the last row wins.",
            choices=("first_row", "versioned", "aggregation"),
        ),
        Option(
            "table.merge-engine.versioned.ver-column",
            OptionType.STRING,
            None,
            "Column with the version of a row, for the merge engine versioned.",
        ),
        Option(
            "table.delete.behavior",
            OptionType.CHOICE,
            "ALLOW",
            "What a delete does: ALLOW it, IGNORE it, or DISABLE (refuse) it.",
            choices=("ALLOW", "IGNORE", "DISABLE"),
        ),
        Option(
            "table.changelog.image",
            OptionType.CHOICE,
            "FULL",
            "Changes in the changelog: FULL has the row before and after an update, WAL only the row after it.",
            choices=("FULL", "WAL"),
        ),
        Option(
            "table.auto-increment.cache-size",
            OptionType.LONG,
            "100000",
            "Ids that a bucket reserves at a time for an auto-increment column.",
            minimum=1,
        ),
        Option(
            "table.statistics.columns",
            OptionType.STRING,
            None,
            "Columns of a log table whose batches carry statistics: '*' or names with commas.",
            dynamic=True,
        ),
        Option(
            "table.log.ttl",
            OptionType.DURATION,
            "7 d",
            "How long the log or changelog is kept, at least; 0 ms keeps it indefinitely. Rows of primary-key tables do"
            " not expire.",
            dynamic=True,
        ),
        Option(
            "table.log.local-ttl",
            OptionType.DURATION,
            None,
            "How long segments that were copied to remote storage are kept locally as well; without remote storage"
            " table.log.ttl counts." + _KEPT,
            dynamic=True,
        ),
        Option(
            "table.log.tiered.local-segments",
            OptionType.INT,
            "2",
            "Newest segments that are kept locally even when they were copied to remote storage." + _KEPT,
            minimum=1,
            dynamic=True,
        ),
        Option(
            "table.auto-partition.enabled",
            OptionType.BOOL,
            "false",
            "Create and drop partitions by time.",
            dynamic=True,
        ),
        Option(
            "table.auto-partition.key",
            OptionType.STRING,
            None,
            "Partition column that holds the time, when there are several.",
        ),
        Option(
            "table.auto-partition.time-unit",
            OptionType.CHOICE,
            "DAY",
            "Time that a partition spans.",
            choices=("HOUR", "DAY", "MONTH", "QUARTER", "YEAR"),
        ),
        Option(
            "table.auto-partition.time-format",
            OptionType.STRING,
            None,
            "Pattern of partition names instead of that of the time unit.",
        ),
        Option(
            "table.auto-partition.time-zone",
            OptionType.STRING,
            None,
            "Time zone of partition names; not set: that of the server.",
        ),
        Option(
            "table.auto-partition.num-precreate",
            OptionType.INT,
            "2",
            "Partitions that exist ahead of time, with the current one.",
            dynamic=True,
        ),
        Option(
            "table.auto-partition.num-retention",
            OptionType.INT,
            "7",
            "Past partitions that are kept; negative: all.",
            minimum=_NEGATIVE,
            dynamic=True,
        ),
        Option(
            "table.datalake.enabled",
            OptionType.BOOL,
            "false",
            "Copy the table to a data lake.",
            dynamic=True,
        ),
        Option(
            "table.datalake.format",
            OptionType.CHOICE,
            None,
            "Format of the data lake; it decides the encoding of keys and the choice of buckets.",
            choices=("paimon", "iceberg", "lance", "hudi"),
        ),
        Option(
            "table.datalake.freshness",
            OptionType.DURATION,
            "3 min",
            "How far the data lake may be behind." + _KEPT,
            dynamic=True,
        ),
        Option(
            "table.datalake.auto-compaction",
            OptionType.BOOL,
            "false",
            "Compact the table in the data lake while copying." + _KEPT,
            dynamic=True,
        ),
        Option(
            "table.datalake.auto-expire-snapshot",
            OptionType.BOOL,
            "false",
            "Expire snapshots in the data lake while copying." + _KEPT,
        ),
        Option(
            "table.datalake.historical-partition.enabled",
            OptionType.BOOL,
            "false",
            "Look up rows of dropped partitions in the data lake.",
            dynamic=True,
        ),
    )
)
