"""Options of a server, set with ``fluss local --set KEY=VALUE``."""

from __future__ import annotations

from collections.abc import Mapping

from fluss_server.config.option import MAX_INT, Option, OptionType, option_table

SERVER_OPTIONS: Mapping[str, Option] = option_table(
    (
        Option(
            "default.bucket.number",
            OptionType.INT,
            "1",
            "Buckets of a table that does not say how many it wants.",
            minimum=1,
        ),
        Option("max.bucket.num", OptionType.INT, "4096", "Most buckets a table may have.", minimum=1),
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
            "NAME://host:port of listeners whose clients are to use another address than the one they came in by, as"
            " behind a proxy.",
        ),
        Option(
            "security.protocol.map",
            OptionType.MAP,
            None,
            "How clients of a listener prove who they are: NAME:SASL, or NAME:PLAINTEXT for not at all, which holds for"
            " listeners that are not named.",
        ),
        Option(
            "security.sasl.enabled.mechanisms",
            OptionType.LIST,
            "PLAIN",
            "SASL mechanisms that clients may use. There is only PLAIN.",
        ),
        Option(
            "security.sasl.plain.credentials",
            OptionType.MAP,
            None,
            "Users that may log in: user:password,user2:password2. Replaces users of the same name in the JAAS text,"
            " the environment and the file.",
            dynamic=True,
            secret=True,
        ),
        Option(
            "security.sasl.plain.credentials.file",
            OptionType.STRING,
            None,
            "File with one user:password a line. A change of the file holds for the next login.",
        ),
        Option(
            "security.sasl.plain.credentials.env",
            OptionType.STRING,
            None,
            "Name of an environment variable that holds user:password,user2:password2.",
        ),
        Option(
            "security.sasl.plain.jaas.config",
            OptionType.STRING,
            None,
            "The users as JAAS text, for example org.apache.fluss.security.auth.sasl.plain.PlainLoginModule required"
            ' user_bob="password"; with the semicolon.',
            secret=True,
        ),
        Option(
            "security.sasl.listener.name.<listener>.plain.jaas.config",
            OptionType.STRING,
            None,
            "JAAS text with all the users of one listener, whose name is written in lower case.",
            secret=True,
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
        ),
        Option(
            "server.writer-id.expiration-time",
            OptionType.DURATION,
            "7 d",
            "A writer that has been silent for this long may lose its protection against duplicates.",
            minimum=1,
        ),
        Option(
            "kv.cache.size",
            OptionType.SIZE,
            "128mb",
            "Memory for blocks and write buffers of all primary-key tables together.",
            minimum=1 << 20,
        ),
        Option(
            "kv.write-queue.size",
            OptionType.SIZE,
            "64mb",
            "Bytes of upserts and deletes that may wait for the worker; more wait in the clients.",
            minimum=1,
        ),
        Option(
            "kv.persist.interval",
            OptionType.DURATION,
            "10 s",
            "Time between two looks at which primary-key tables are worth persisting.",
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
    )
)
