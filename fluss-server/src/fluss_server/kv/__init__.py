"""The KvStore: rows of primary-key tables, merged into RocksDB, with the log as its write-ahead log."""
