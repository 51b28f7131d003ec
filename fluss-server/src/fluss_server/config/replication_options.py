"""Options of a server about buckets with several replicas."""

from __future__ import annotations

from fluss_server.config.option import MAX_INT, Option, OptionType

REPLICATION_OPTIONS = (
    Option(
        "log.replica.min-in-sync-replicas-number",
        OptionType.INT,
        "1",
        "Replicas that have to be in sync, the leader among them, before rows of a bucket with followers are"
        " acknowledged to writers with acks = all and shown to readers. With fewer such writes are refused with"
        " NOT_ENOUGH_REPLICAS (29). With 2 an acknowledged row survives the loss of a server with its disk.",
        minimum=1,
        dynamic=True,
    ),
    Option(
        "log.replica.max-lag-time",
        OptionType.DURATION,
        "30 s",
        "A follower that was not caught up with its leader for this time leaves the replicas in sync; until then it"
        " holds up acknowledgements.",
        minimum=10,
    ),
    Option(
        "log.replica.max-silence-time",
        OptionType.DURATION,
        "3 s",
        "A follower that lacks rows and has sent no fetch for this time leaves the replicas in sync, for example"
        " because the network between the two is broken. A server fetches from every leader at least every"
        " log.replica.fetch.wait-max-time.",
        minimum=10,
    ),
    Option(
        "log.replica.fetcher-number",
        OptionType.INT,
        "1",
        "Connections over which a server fetches from each server that leads buckets which it follows.",
        minimum=1,
        maximum=64,
    ),
    Option(
        "log.replica.fetch.max-bytes",
        OptionType.SIZE,
        "16mb",
        "Most bytes that a follower gets with one fetch, over all buckets; one batch is sent even if it is larger.",
        minimum=1,
        maximum=64 << 20,
    ),
    Option(
        "log.replica.fetch.max-bytes-for-bucket",
        OptionType.SIZE,
        "1mb",
        "Most bytes of one bucket in a fetch of a follower.",
        minimum=1,
        maximum=MAX_INT,
    ),
    Option(
        "log.replica.fetch.wait-max-time",
        OptionType.DURATION,
        "500 ms",
        "How long a leader waits for something new before it responds to a fetch of a follower; what is appended ends"
        " the wait. A server that follows many buckets has several fetches at each leader. Those of buckets in which"
        " nothing happens wait longer, up to 20 times and a third of log.replica.max-lag-time.",
        minimum=1,
        maximum=60_000,
    ),
    Option(
        "log.replica.fetch.min-bytes",
        OptionType.SIZE,
        "1b",
        "Bytes that end the wait of a follower's fetch.",
        minimum=1,
        maximum=MAX_INT,
    ),
    Option(
        "log.replica.fetch.backoff-interval",
        OptionType.DURATION,
        "1 s",
        "Longest pause of a follower after an error of its leader, or of a bucket.",
        minimum=1,
    ),
    Option(
        "log.replica.catch-up.bytes-per-second",
        OptionType.SIZE,
        "64mb",
        "Most bytes a second that a tablet server fetches for its replicas that are not in sync, new ones for example,"
        " all together. Replicas in sync, for which writers wait, are not limited. 0 = no limit.",
        minimum=0,
        maximum=MAX_INT,
    ),
    Option(
        "coordinator.rebalance.moves-per-server",
        OptionType.INT,
        "2",
        "Buckets of a rebalance that a tablet server may take part in at a time, with a replica that it gets or gives"
        " away, or a leadership.",
        minimum=1,
        maximum=1_000,
    ),
    Option(
        "coordinator.rebalance.bucket-timeout",
        OptionType.DURATION,
        "2 min",
        "A bucket of a rebalance that takes longer is shown as TIMEOUT and goes on, unless a server that it needs is"
        " gone: then it keeps the replicas that it had.",
        minimum=100,
    ),
    Option(
        "coordinator.replace-dead-servers.after",
        OptionType.DURATION,
        "0 s",
        "When a tablet server has been gone for so long, its replicas are made on other servers. 0 = never: they wait"
        " until it is back, or until replicas are moved by hand.",
        minimum=0,
    ),
    Option(
        "kv.standby-replica.number",
        OptionType.INT,
        "1",
        "Followers of a bucket of a primary-key table that keep its rows, so that one of them can lead it at once; 0 ="
        " none. An option of the coordinator. Tables with table.kv.standby-replica.enabled = false have none.",
        minimum=0,
        maximum=100,
    ),
)
