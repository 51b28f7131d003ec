"""The official Java client as a ``Client``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from clients.rpc.client import JAVA_0_9, JAVA_1_0, Client, ClientError, NotOffered
from official.java_driver import JavaDriver, JavaError

_LABELS = {"0.9.1-incubating": JAVA_0_9, "1.0.0": JAVA_1_0}
_names = itertools.count()


class JavaClient(Client):
    """One connection in the JVM of a driver."""

    def __init__(self, driver: JavaDriver, bootstrap_servers: str, options: Mapping[str, str]) -> None:
        self.label = _LABELS[driver.version]
        self._driver = driver
        self._name = f"connection-{next(_names)}"
        self._servers = bootstrap_servers
        configuration = {f"client.{key}": value for key, value in options.items()}
        self._call("open", {"options": {"bootstrap.servers": bootstrap_servers, **configuration}})

    def another(self, options: Mapping[str, str]) -> Client:
        return JavaClient(self._driver, self._servers, options)

    def run(self, call: str, arguments: dict[str, Any]) -> Any:
        return self._call(call, arguments)

    def _call(self, call: str, arguments: dict[str, Any]) -> Any:
        try:
            return self._driver.call(call, connection=self._name, **arguments)
        except JavaError as error:
            if error.kind == "UnsupportedOperationException":
                raise NotOffered(error.message) from None
            raise ClientError(error.code, f"{error.kind}: {error.message}") from None
