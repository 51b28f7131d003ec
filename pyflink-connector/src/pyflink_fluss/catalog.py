"""The catalog as a Python object, for `TableEnvironment.register_catalog`."""

from __future__ import annotations

from collections.abc import Mapping

from pyflink.java_gateway import get_gateway
from pyflink.table.catalog import Catalog


class FlussCatalog(Catalog):  # type: ignore[misc]
    """A catalog of the databases and tables of a Fluss cluster; the same as `CREATE CATALOG ... WITH ('type'='fluss')`.

    Example::

        >>> t_env.register_catalog("fluss", FlussCatalog("fluss", "127.0.0.1:9123"))
        >>> t_env.use_catalog("fluss")
    """

    def __init__(
        self,
        catalog_name: str,
        bootstrap_servers: str,
        default_database: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Prepares the catalog; registering it connects.

        :param catalog_name: name of the catalog in Flink
        :param bootstrap_servers: `host:port`, several separated by commas
        :param default_database: a database that exists; without it, `fluss`
        :param options: further options of CREATE CATALOG
        """
        settings = {"type": "fluss", "bootstrap.servers": bootstrap_servers, **(options or {})}
        if default_database is not None:
            settings["default-database"] = default_database
        jvm = get_gateway().jvm
        j_settings = jvm.java.util.HashMap()
        for key, value in settings.items():
            j_settings.put(key, value)
        loader = jvm.Thread.currentThread().getContextClassLoader()
        j_catalog = jvm.org.apache.flink.table.factories.FactoryUtil.createCatalog(
            catalog_name, j_settings, jvm.org.apache.flink.configuration.Configuration(), loader
        )
        super().__init__(j_catalog)
