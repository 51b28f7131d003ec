"""A running Fluss for your own tests: a context manager and a pytest fixture.

In plain Python::

    from fluss_server.testing import LocalCluster

    with LocalCluster() as cluster:
        connect(cluster.bootstrap_servers)

In pytest, once ``fluss-server`` is installed, the fixture ``fluss_cluster`` gives every test module a cluster of its
own::

    def test_my_job(fluss_cluster):
        connect(fluss_cluster.bootstrap_servers)
"""

from fluss_server.testing.local_cluster import LocalCluster

__all__ = ["LocalCluster"]
