"""The metadata store in ZooKeeper, and what else coordinators need there: sessions and a leader latch.

Programs import :mod:`fluss_server.metadata.zookeeper.store` only when they use it, because it imports kazoo.
"""
