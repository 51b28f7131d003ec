"""How far one connection has come in proving who uses it; no I/O.

::

    PLAINTEXT listener:  ready, as User:ANONYMOUS
    SASL listener:       authenticating ──AUTHENTICATE──► ready

While authenticating only API_VERSIONS and AUTHENTICATE are served. There is one round, no re-authentication and no
expiry: AUTHENTICATE on a ready SASL connection is answered with success and changes nothing (pyfluss sends one more
when an answer carries a challenge; ours carry none).
"""

from __future__ import annotations

from typing import Protocol

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.principal import ANONYMOUS, Principal


class Authenticator(Protocol):
    """Checks what clients of a listener present."""

    def check_mechanism(self, mechanism: str) -> None:
        """``AUTHENTICATE_EXCEPTION`` unless the listener accepts the mechanism."""

    def authenticate(self, mechanism: str, token: bytes) -> Principal:
        """Who the token belongs to.

        Raises:
            FlussError: ``AUTHENTICATE_EXCEPTION`` when it is no valid login; the text never holds a secret.
        """


class ConnectionAuthentication:
    """State of one connection.

    Args:
        authenticator: of the listener; None = everybody may come in.
        max_failures: failed logins before the connection is to be closed.

    Attributes:
        principal: who uses the connection; None until that is known.
    """

    __slots__ = ("_authenticator", "_failures_left", "principal")

    def __init__(self, authenticator: Authenticator | None, max_failures: int) -> None:
        self._authenticator = authenticator
        self._failures_left = max_failures
        self.principal: Principal | None = ANONYMOUS if authenticator is None else None

    @property
    def exhausted(self) -> bool:
        """True when the connection has failed too often and must be closed."""
        return self._failures_left <= 0

    def attempt(self, mechanism: str, token: bytes) -> None:
        """Serve one AUTHENTICATE; on return the connection is ready.

        Raises:
            FlussError: ``AUTHENTICATE_EXCEPTION``.
        """
        if self._authenticator is None:
            raise FlussError(
                ErrorCode.AUTHENTICATE_EXCEPTION,
                f"this listener does not authenticate, but the client uses {mechanism[:40]!r}",
                hint="set client.security.protocol (pyfluss: security.protocol) to PLAINTEXT",
            )
        try:
            self._authenticator.check_mechanism(mechanism)
            if self.principal is None:
                self.principal = self._authenticator.authenticate(mechanism, token)
        except FlussError:
            self._failures_left -= 1
            raise


def not_authenticated() -> FlussError:
    """The answer to a request that comes before a successful login."""
    return FlussError(
        ErrorCode.AUTHENTICATE_EXCEPTION,
        "the connection has not authenticated yet",
        hint="is client.security.protocol (pyfluss: security.protocol) set to SASL?",
    )
