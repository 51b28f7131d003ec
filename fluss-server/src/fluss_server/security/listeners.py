"""The listeners of a server and how each authenticates, from its configuration."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from fluss_server.config import SERVER_OPTIONS, Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.authentication import Authenticator
from fluss_server.rpc.endpoints import Endpoint, advertised_endpoints, is_loopback, parse_endpoints
from fluss_server.rpc.service import DEFAULT_LISTENER
from fluss_server.runtime.runtime import Runtime

if TYPE_CHECKING:
    from fluss_server.security.credentials import CredentialStore
    from fluss_server.security.sasl import SaslAuthenticator
    from fluss_server.security.throttle import AuthenticationThrottle

logger = logging.getLogger(__name__)

SASL, PLAINTEXT = "SASL", "PLAINTEXT"
CREDENTIALS = "security.sasl.plain.credentials"
_LISTENER_JAAS = "security.sasl.listener.name.{}.plain.jaas.config"


class Listener(NamedTuple):
    """One listener.

    Attributes:
        endpoint: where to listen.
        authenticator: checks its clients; None = anonymous access.
        advertised: address for its clients; None = the one they connected through.
    """

    endpoint: Endpoint
    authenticator: Authenticator | None
    advertised: Endpoint | None


class ListenerSecurity:
    """All listeners of a server.

    Args:
        configuration: of the server.
        host: address of the only listener when ``bind.listeners`` is not set.
        port: its port.
        runtime: disk, environment and secrets.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """

    def __init__(self, configuration: Configuration, host: str, port: int, runtime: Runtime) -> None:
        self._runtime = runtime
        self._stores: list[CredentialStore] = []
        self._throttle: AuthenticationThrottle | None = None  # of all listeners; None = all are anonymous
        bound = [Endpoint(DEFAULT_LISTENER, host, port)]
        if (text := configuration.find_str("bind.listeners")) is not None:
            bound = parse_endpoints("bind.listeners", text)
        told: Mapping[str, Endpoint] = {}
        if (text := configuration.find_str("advertised.listeners")) is not None:
            told = advertised_endpoints(bound, parse_endpoints("advertised.listeners", text))
        protocols = _protocols(configuration.get_map("security.protocol.map"), bound)
        shared = self._shared_store(configuration) if SASL in protocols.values() else None
        self.listeners: Sequence[Listener] = tuple(
            Listener(
                endpoint,
                self._authenticator(configuration, endpoint.listener, shared)
                if shared is not None and protocols[endpoint.listener] == SASL
                else None,
                told.get(endpoint.listener),
            )
            for endpoint in bound
        )
        self.configure_users(configuration.get_map(CREDENTIALS))

    @property
    def advertised(self) -> dict[str, tuple[str, int]]:
        """Host and port that clients of a listener are told, by its name; those that are told what they used lack."""
        return {
            listener.endpoint.listener: (listener.advertised.host, listener.advertised.port)
            for listener in self.listeners
            if listener.advertised is not None
        }

    def configure_users(self, passwords: Mapping[str, str]) -> None:
        """Replace the users of ``security.sasl.plain.credentials``; open connections keep their principal.

        Raises:
            FlussError: ``INVALID_CONFIG_EXCEPTION``.
        """
        check_users(passwords)
        for store in self._stores:
            store.configure(passwords)

    def warn_if_exposed(self) -> None:
        """Warn when a listener allows anonymous access and is not bound to loopback."""
        for listener in self.listeners:
            if listener.authenticator is None and not is_loopback(listener.endpoint.host):
                logger.warning(
                    "NO AUTHENTICATION: listener %s on %s port %d allows everybody who reaches it to read and change"
                    " all data; set security.protocol.map=%s:SASL and security.sasl.plain.credentials.file, or bind it"
                    " to 127.0.0.1",
                    *listener.endpoint,
                    listener.endpoint.listener,
                )

    def _shared_store(self, configuration: Configuration) -> CredentialStore:
        # Here authentication begins to exist, which most servers on loopback do without.
        from fluss_server.security.credentials import CredentialFile, CredentialStore
        from fluss_server.security.jaas import parse_jaas_users
        from fluss_server.security.throttle import AuthenticationThrottle

        self._throttle = AuthenticationThrottle(self._runtime.clock.monotonic)
        fixed: dict[str, str] = {}
        if (jaas := configuration.find_str("security.sasl.plain.jaas.config")) is not None:
            fixed.update(parse_jaas_users(jaas))
        if (variable := configuration.find_str("security.sasl.plain.credentials.env")) is not None:
            fixed.update(_users_of_variable(variable, self._runtime.environment))
        path = configuration.find_str("security.sasl.plain.credentials.file")
        file = None if path is None else CredentialFile(PurePath(path), self._runtime.disk)
        store = CredentialStore(fixed, self._runtime.secrets, file)
        self._stores.append(store)
        return store

    def _authenticator(self, configuration: Configuration, listener: str, shared: CredentialStore) -> SaslAuthenticator:
        from fluss_server.security.credentials import CredentialStore
        from fluss_server.security.jaas import parse_jaas_users
        from fluss_server.security.sasl import MECHANISMS, SaslAuthenticator

        assert self._throttle is not None, "it came with the shared store"
        mechanisms = [mechanism.upper() for mechanism in configuration.get_list("security.sasl.enabled.mechanisms")]
        if not mechanisms or not set(mechanisms) <= set(MECHANISMS):
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"security.sasl.enabled.mechanisms: {', '.join(mechanisms) or 'nothing'} cannot be enabled",
                hint=f"there is only {', '.join(MECHANISMS)}",
            )
        own = configuration.find_str(_LISTENER_JAAS.format(listener.lower()))
        store = shared if own is None else CredentialStore(parse_jaas_users(own), self._runtime.secrets)
        return SaslAuthenticator(mechanisms, store.current, self._throttle)


def check_users(passwords: Mapping[str, str]) -> None:
    """See :func:`~fluss_server.security.credentials.check_configured_users`."""
    if passwords:
        from fluss_server.security.credentials import check_configured_users

        check_configured_users(passwords)


def _protocols(given: Mapping[str, str], bound: Sequence[Endpoint]) -> dict[str, str]:
    names = [endpoint.listener for endpoint in bound]
    for name, protocol in given.items():
        if name not in names:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"security.protocol.map names the listener {name!r}, which is not bound",
                hint=f"bound are {', '.join(names)}",
            )
        if protocol.upper() not in (SASL, PLAINTEXT):
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"security.protocol.map: {protocol!r} is not a security protocol",
                hint="use SASL or PLAINTEXT",
            )
    return {name: given.get(name, PLAINTEXT).upper() for name in names}


def _users_of_variable(variable: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    text = environment.get(variable)
    if text is None:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"security.sasl.plain.credentials.env: there is no environment variable {variable!r}",
        )
    try:
        users = SERVER_OPTIONS[CREDENTIALS].parse(text)
    except FlussError:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"the environment variable {variable!r} does not hold user:password,user2:password2",
        ) from None
    assert isinstance(users, Mapping)
    check_users(users)
    return users
