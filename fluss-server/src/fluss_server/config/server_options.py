"""Options of a server, set with ``fluss local --set KEY=VALUE``."""

from __future__ import annotations

from collections.abc import Mapping

from fluss_server.config.option import MAX_INT, MAX_LONG, Option, OptionType, option_table
from fluss_server.config.replication_options import REPLICATION_OPTIONS
from fluss_server.config.security_options import SECURITY_OPTIONS

SERVER_OPTIONS: Mapping[str, Option] = option_table(
    (
        Option(
            "default.bucket.number",
            OptionType.INT,
            "1",
            "Buckets of a table that does not say how many it wants.",
            minimum=1,
        ),
        Option(
            "default.replication.factor",
            OptionType.INT,
            "1",
            "Replicas of each bucket of a table that does not say how many it wants. For coordinators of a cluster.",
            minimum=1,
        ),
        Option("max.bucket.num", OptionType.INT, "4096", "Most buckets a table or partition may have.", minimum=1),
        Option("max.partition.num", OptionType.INT, "1000", "Most partitions a table may have.", minimum=1),
        Option(
            "auto-partition.check.interval",
            OptionType.DURATION,
            "10 min",
            "Check interval of auto-partitioning: how often partitions that are due are created and dropped.",
            minimum=1,
        ),
        Option(
            "coordinator.producer-offsets.ttl",
            OptionType.DURATION,
            "24 h",
            "How long the offsets that a job registers before it writes aggregates are kept, when it does not say.",
            minimum=1,
        ),
        Option(
            "coordinator.producer-offsets.cleanup-interval",
            OptionType.DURATION,
            "1 h",
            "Offsets of producers that have expired are removed at most this often.",
        ),
        Option(
            "allow.create.log.tables", OptionType.BOOL, "true", "Whether tables without primary key may be created."
        ),
        Option("allow.create.kv.tables", OptionType.BOOL, "true", "Whether tables with primary key may be created."),
        Option(
            "bind.listeners",
            OptionType.STRING,
            None,
            "Addresses to listen on: NAME://host:port, several with commas between them. With it --host and --port do"
            " not count. The names are for security.protocol.map; without this option the only listener is FLUSS.",
        ),
        Option(
            "advertised.listeners",
            OptionType.STRING,
            None,
            "NAME://host:port of listeners whose clients are to use another address than the one they are connected"
            " to, as with a proxy.",
        ),
        *SECURITY_OPTIONS,
        Option(
            "server.internal.connect-timeout",
            OptionType.DURATION,
            "5 s",
            "How long it may take to open a connection to another server of the cluster.",
            minimum=1,
        ),
        Option(
            "server.internal.request-timeout",
            OptionType.DURATION,
            "30 s",
            "How long a tablet server waits for a response of the coordinator; then it opens another connection.",
            minimum=1,
        ),
        Option(
            "coordinator.control-request.timeout",
            OptionType.DURATION,
            "30 s",
            "How long the coordinator waits for the response to a control request; then it sends it again over another"
            " connection.",
            minimum=1,
        ),
        Option(
            "coordinator.control-request.retry-backoff",
            OptionType.DURATION,
            "100 ms",
            "Pause before a control request is sent again; it doubles up to 10 s.",
            minimum=1,
        ),
        Option(
            "netty.server.max-request-size",
            OptionType.SIZE,
            "100mb",
            "Longest request. A client that announces a longer one is disconnected.",
            minimum=1 << 16,
            maximum=MAX_INT,
        ),
        Option(
            "netty.server.max-queued-requests",
            OptionType.INT,
            "500",
            "Requests of one connection that may be under way at the same time, fetches that wait for data included;"
            " more wait in the client.",
            minimum=1,
        ),
        Option(
            "netty.connection.max-idle-time",
            OptionType.DURATION,
            "10 min",
            "A connection without traffic is closed after this time.",
            minimum=1,
        ),
        Option(
            "server.max-connections",
            OptionType.INT,
            "16000",
            "Connections that may be open at the same time; further ones are refused with a reason. Never more than the"
            " system's limit of open files allows.",
            minimum=1,
        ),
        Option(
            "server.request.memory-size",
            OptionType.SIZE,
            "512mb",
            "Memory for requests that have arrived, whole or in part, and have no response yet, all connections"
            " together. One half is for requests of more than a 32nd of it, which wait for each other, a quarter for"
            " shorter ones of more than 64 KB; the last quarter is for short requests, which never wait for longer"
            " ones. A single request may be larger than its part.",
            minimum=1 << 20,
        ),
        Option(
            "server.request.memory-size-per-connection",
            OptionType.SIZE,
            "64mb",
            "Bytes of requests under way after which a connection is not read any further.",
            minimum=1,
        ),
        Option(
            "server.request.max-message-size",
            OptionType.SIZE,
            "4mb",
            "Longest request other than the writes of rows: those are decoded, which takes several times their size.",
            minimum=1 << 10,
            maximum=MAX_INT,
        ),
        Option(
            "server.request.receive-timeout",
            OptionType.DURATION,
            "30 s",
            "Time for a request to arrive once it has begun, and for the first one of a connection; long ones get a"
            " second more for every 64kb. Who takes longer is disconnected.",
            minimum=1,
        ),
        Option(
            "server.request.slow-log-threshold",
            OptionType.DURATION,
            "5 s",
            "A request that takes longer is reported in the log. Fetches that wait for data are not.",
            minimum=1,
        ),
        Option(
            "metrics.reporters",
            OptionType.LIST,
            None,
            "Who gets the metrics: prometheus, or nobody. Prometheus fetches them from"
            " http://HOST:PORT/metrics; /health says whether the server can do its work.",
        ),
        Option(
            "metrics.reporter.prometheus.host",
            OptionType.STRING,
            "127.0.0.1",
            "Address of the metrics endpoint, which requires no authentication.",
        ),
        Option(
            "metrics.reporter.prometheus.port",
            OptionType.STRING,
            "9249",
            "Port for the metrics, or a range such as 9249-9259, of which the first free one is taken; 0 = any.",
        ),
        Option(
            "metrics.max-buckets",
            OptionType.INT,
            "2000",
            "Buckets that have metrics of their own. Those of further ones, and of tables that have only such, are"
            " part of the server's totals only.",
        ),
        Option(
            "server.response.memory-size",
            OptionType.SIZE,
            "256mb",
            "Memory for responses that clients do not read, all connections together. When there are more, the client"
            " that leaves the most unread is disconnected.",
            minimum=1 << 20,
        ),
        Option(
            "server.response.send-timeout",
            OptionType.DURATION,
            "2 min",
            "A client that takes not a single byte of its responses for this long is disconnected.",
            minimum=1,
        ),
        Option(
            "server.fetch.max-parked",
            OptionType.INT,
            "20000",
            "Fetches that may wait for data at the same time, all connections together; one of many buckets counts once"
            " for every 16 of them. When there are more, the oldest gets its response at once.",
            minimum=1,
        ),
        Option(
            "log.segment.file-size",
            OptionType.SIZE,
            "1024mb",
            "A log segment is closed before it grows past this.",
            minimum=1,
            maximum=MAX_INT,
        ),
        Option(
            "log.index.interval-size",
            OptionType.SIZE,
            "4kb",
            "Bytes of log for each entry of the offset index. Smaller finds offsets faster and takes more memory.",
            maximum=MAX_INT,
        ),
        Option(
            "log.flush.before-acknowledge",
            OptionType.BOOL,
            "true",
            "Acknowledge a write only when it is on disk (fsync, shared by the writes that wait at the same time)."
            " With false a write still survives the end of the process, but those of the last log.flush.interval are"
            " lost with the power.",
        ),
        Option(
            "log.flush.interval",
            OptionType.DURATION,
            "1 s",
            "Time between flushes of the logs when log.flush.before-acknowledge is false.",
            minimum=1,
        ),
        Option(
            "log.flush.interval-messages",
            OptionType.LONG,
            str(MAX_LONG),
            "Rows of a bucket after which its log is flushed, before the last of them is acknowledged, when"
            " log.flush.before-acknowledge is false.",
            minimum=1,
        ),
        Option(
            "log.retention.check-interval",
            OptionType.DURATION,
            "5 min",
            "Time between two searches for log segments that are older than table.log.ttl.",
            minimum=1,
        ),
        Option(
            "log.retention.roll-active-segment.enabled",
            OptionType.BOOL,
            "false",
            "Close the newest segment of a log too when everything in it is older than table.log.ttl, so that it can be"
            " deleted. With false a table that is no longer written keeps its last segment.",
            dynamic=True,
        ),
        Option(
            "log.scrub.bytes-per-second",
            OptionType.SIZE,
            "8mb",
            "How fast logs are read again in the background to find batches that the disk has damaged, over all"
            " buckets together. 0b = never: then damage is found when a batch is read for the first time since the"
            " start.",
            maximum=MAX_INT,
        ),
        Option(
            "log.scrub.interval",
            OptionType.DURATION,
            "1 d",
            "Time from the beginning of one such check of all logs to the beginning of the next; it starts at once when"
            " one check takes longer.",
            minimum=1,
        ),
        *REPLICATION_OPTIONS,
        Option(
            "server.data-disk.write-limit-ratio",
            OptionType.RATIO,
            "0.95",
            "Share of the data directory's disk in use at which writes are refused with DISK_WRITE_LOCKED (70), while"
            " reads go on. 1.0 = never; then a write is refused when the disk is full. Official servers, which have"
            " their disks to themselves, use 0.85.",
            dynamic=True,
        ),
        Option(
            "server.data-disk.write-recover-ratio",
            OptionType.RATIO,
            "0.90",
            "Share in use at which refused writes are accepted again. Not above the limit.",
            dynamic=True,
        ),
        Option(
            "server.data-disk.check-interval",
            OptionType.DURATION,
            "30 s",
            "Check interval of the disk usage.",
            minimum=1,
        ),
        Option(
            "server.writer-id.expiration-time",
            OptionType.DURATION,
            "12 h",
            "Of a writer that has been silent for this long only the last batch is remembered, in each bucket. It may"
            " still go on where it stopped. Official servers forget it, after 7 days.",
            minimum=1,
        ),
        Option(
            "server.writer-id.expiration-check-interval",
            OptionType.DURATION,
            "10 min",
            "Time between two searches for writers that are silent for server.writer-id.expiration-time.",
            minimum=1,
        ),
        Option(
            "tablet-server.id",
            OptionType.INT,
            None,
            "Number of a tablet server in its cluster, which no other one has. For fluss tablet-server.",
        ),
        Option(
            "tablet-server.rack",
            OptionType.STRING,
            None,
            "Failure domain of a tablet server, for example its rack or zone.",
        ),
        Option(
            "coordinator.address",
            OptionType.STRING,
            None,
            "host:port of the coordinator's internal listener, for tablet servers of a cluster without ZooKeeper.",
        ),
        Option(
            "tablet-server.heartbeat.interval",
            OptionType.DURATION,
            "500 ms",
            "Time between two heartbeats of a tablet server to the coordinator.",
            minimum=10,
        ),
        Option(
            "tablet-server.lease.duration",
            OptionType.DURATION,
            "2 s",
            "How long after a heartbeat a tablet server may lead buckets that have other replicas in sync. At most 80 %"
            " of coordinator.tablet-server.timeout. Set it for the coordinator.",
            minimum=50,
        ),
        Option(
            "coordinator.tablet-server.timeout",
            OptionType.DURATION,
            "3 s",
            "A tablet server that has sent no heartbeat for so long counts as dead: others lead its buckets.",
            minimum=100,
        ),
        Option(
            "kv.cache.size",
            OptionType.SIZE,
            "192mb",
            "Memory for recently used rows (half of it), blocks and write buffers of all primary-key tables together.",
            minimum=1 << 20,
        ),
        Option(
            "kv.write-queue.size",
            OptionType.SIZE,
            "64mb",
            "Bytes of upserts and deletes that may wait for the worker; more wait in the clients. A single batch may"
            " take four times as much while it is merged, at about 512 bytes for each row.",
            minimum=1,
        ),
        Option(
            "kv.scanner.ttl",
            OptionType.DURATION,
            "10 min",
            "A full scan of a primary-key table that its client does not continue for so long is ended.",
            minimum=1,
        ),
        Option(
            "kv.scanner.expiration-interval",
            OptionType.DURATION,
            "30 s",
            "How often full scans are looked through for those to be ended.",
            minimum=1,
        ),
        Option(
            "kv.scanner.max-per-bucket",
            OptionType.INT,
            "8",
            "Most full scans of a bucket that are open at a time.",
            minimum=1,
        ),
        Option(
            "kv.scanner.max-per-server",
            OptionType.INT,
            "200",
            "Most full scans that are open at a time.",
            minimum=1,
        ),
        Option(
            "kv.scanner.max-batch-size",
            OptionType.SIZE,
            "10 mb",
            "Most bytes of rows in one response of a full scan, whatever the client requests.",
            minimum=1,
        ),
        Option(
            "kv.backpressure.l0-slowdown-trigger",
            OptionType.INT,
            "8",
            "Files of a primary-key bucket that may wait for a compaction before its writers are told to slow down. At"
            " 20 of them writes are refused for a while; 20 or more here = no slowing down before that.",
            minimum=1,
        ),
        Option(
            "kv.persist.interval",
            OptionType.DURATION,
            "10 s",
            "Check interval of persisting: which primary-key tables are worth persisting.",
            minimum=1,
        ),
        Option(
            "kv.persist.after-offsets",
            OptionType.LONG,
            "200000",
            "Changelog rows since the last persist that make a primary-key table worth persisting. Fewer make a restart"
            " after a crash faster.",
            minimum=1,
        ),
        Option(
            "zookeeper.address",
            OptionType.STRING,
            None,
            "host:port of the ZooKeeper servers, with commas between them; a path after them is put before"
            " zookeeper.path.root. Only coordinators and tablet servers of a cluster use ZooKeeper.",
        ),
        Option(
            "zookeeper.path.root",
            OptionType.STRING,
            "/fluss",
            "Node of ZooKeeper that holds everything of the cluster. It is made when it does not exist.",
        ),
        Option(
            "zookeeper.client.session-timeout",
            OptionType.DURATION,
            "60 s",
            "ZooKeeper ends a session, and another coordinator takes over, when it hears nothing for so long. ZooKeeper"
            " caps it at 20 ticks (40 s by default). No change of metadata takes longer.",
            minimum=100,
        ),
        Option(
            "zookeeper.client.connection-timeout",
            OptionType.DURATION,
            "15 s",
            "Longest time to wait for a connection to ZooKeeper, or for what is read from it.",
            minimum=1,
        ),
        Option(
            "zookeeper.client.retry-wait",
            OptionType.DURATION,
            "5 s",
            "Longest pause between two attempts to connect to ZooKeeper; the first ones are shorter.",
            minimum=1,
        ),
        Option(
            "zookeeper.client.max-retry-attempts",
            OptionType.INT,
            "3",
            "How often a change that certainly did not arrive at ZooKeeper is sent.",
            minimum=1,
        ),
        Option(
            "zookeeper.client.max-inflight-requests",
            OptionType.INT,
            "100",
            "Most requests to ZooKeeper that wait for a response.",
            minimum=1,
        ),
        Option(
            "zookeeper.client.tolerate-suspended-connections",
            OptionType.BOOL,
            "false",
            "Whether a coordinator stays the leader while it has no connection to ZooKeeper, until its session ends;"
            " else it does so for 10 seconds.",
        ),
    )
)
