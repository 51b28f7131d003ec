"""How far one connection has come in proving who uses it.

::

    PLAINTEXT listener:  ready, as User:ANONYMOUS
    SASL listener:       authenticating ──AUTHENTICATE──► ready

While authenticating only API_VERSIONS and AUTHENTICATE are served. There is one round, no re-authentication and no
expiry: AUTHENTICATE on a ready SASL connection succeeds and changes nothing (pyfluss sends one more when a response
carries a challenge; ours carry none).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Protocol

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.principal import ANONYMOUS, Principal
from fluss_server.rpc.limits import RpcLimits

logger = logging.getLogger(__name__)


class Authenticator(Protocol):
    """Checks what clients of a listener present."""

    def check_mechanism(self, mechanism: str) -> None:
        """``AUTHENTICATE_EXCEPTION`` unless the listener accepts the mechanism."""

    def authenticate(self, mechanism: str, token: bytes, address: str) -> Principal:
        """Who the token belongs to.

        Args:
            mechanism: of SASL.
            token: what the client presents.
            address: of the client, without the port.

        Raises:
            FlussError: ``AUTHENTICATE_EXCEPTION`` when the credentials are not valid; the text never holds a secret.
        """


class ConnectionAuthentication:
    """State of one connection.

    Args:
        authenticator: of the listener; None = anonymous access.
        limits: how many attempts there are, how long a refusal takes, how long requests may be.

    Attributes:
        principal: who uses the connection; None until that is known.
        ready: whether every API is served.
    """

    __slots__ = ("_authenticator", "_failures_left", "_limits", "_refusing", "principal", "ready")

    def __init__(self, authenticator: Authenticator | None, limits: RpcLimits) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._failures_left = limits.max_authentication_failures
        self._refusing = False  # a failed attempt has no response yet
        self.ready = authenticator is None
        self.principal: Principal | None = ANONYMOUS if self.ready else None

    @property
    def exhausted(self) -> bool:
        """True when the connection has failed too often and must be closed."""
        return self._failures_left <= 0

    @property
    def max_frame_bytes(self) -> int:
        """Longest request that the client may send now."""
        return self._limits.max_frame_bytes if self.ready else self._limits.max_unauthenticated_frame_bytes

    def attempt(self, mechanism: str, token: bytes, peer: str, listener: str) -> Awaitable[None] | None:
        """Serve one AUTHENTICATE.

        Args:
            mechanism: of SASL.
            token: what the client presents.
            peer: ``host:port`` of the client.
            listener: name of its listener.

        Returns:
            None when the connection is ready; otherwise what to wait for, which raises ``AUTHENTICATE_EXCEPTION``.

        Raises:
            FlussError: ``AUTHENTICATE_EXCEPTION``, at once, while a refusal is still waited for.
        """
        if self._refusing:
            # Otherwise the delay would cost a client nothing: it could send many passwords at once.
            raise not_authenticated()
        try:
            self._check(mechanism, token, peer.rpartition(":")[0].strip("[]"))
        except FlussError as error:
            self._failures_left -= 1
            self._refusing = True
            logger.debug("the authentication of %s on listener %s failed: %s", peer, listener, error)
            return self._refuse(error)
        if not self.ready:
            self.ready = True
            logger.debug("%s authenticated as %s", peer, self.principal)
        return None

    def _check(self, mechanism: str, token: bytes, address: str) -> None:
        if self._authenticator is None:
            raise FlussError(
                ErrorCode.AUTHENTICATE_EXCEPTION,
                f"this listener does not authenticate, but the client uses {mechanism[:40]!r}",
                hint="set client.security.protocol (pyfluss: security.protocol) to PLAINTEXT",
            )
        self._authenticator.check_mechanism(mechanism)
        if self.principal is None:
            self.principal = self._authenticator.authenticate(mechanism, token, address)

    async def _refuse(self, error: FlussError) -> None:
        await asyncio.sleep(self._limits.authentication_failure_delay_s)
        self._refusing = False
        raise error


def not_authenticated() -> FlussError:
    """The error for a request that comes before a successful authentication."""
    return FlussError(
        ErrorCode.AUTHENTICATE_EXCEPTION,
        "the connection has not authenticated yet",
        hint="is client.security.protocol (pyfluss: security.protocol) set to SASL?",
    )
