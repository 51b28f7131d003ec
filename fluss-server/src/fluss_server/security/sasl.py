"""SASL PLAIN (RFC 4616) as the official clients use it, in one message: ``[authzid] NUL user NUL password``."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.principal import USER, Principal
from fluss_server.rpc.authentication import Authenticator
from fluss_server.security.credentials import Credentials
from fluss_server.security.throttle import AuthenticationThrottle

PLAIN = "PLAIN"
MECHANISMS = (PLAIN,)
"""What can be enabled."""


class SaslAuthenticator:
    """See ``rpc.authentication.Authenticator``.

    Args:
        mechanisms: enabled on the listener, upper case.
        credentials: gives the users that are valid now.
        throttle: bounds failed attempts.
    """

    def __init__(
        self, mechanisms: Sequence[str], credentials: Callable[[], Credentials], throttle: AuthenticationThrottle
    ) -> None:
        self._mechanisms = tuple(mechanisms)
        self._credentials = credentials
        self._throttle = throttle

    def check_mechanism(self, mechanism: str) -> None:
        # Apache Fluss ignores case here and then fails on anything but upper case; clients send upper case.
        if mechanism.upper() not in self._mechanisms:
            raise FlussError(
                ErrorCode.AUTHENTICATE_EXCEPTION,
                f"SASL mechanism {mechanism[:40]!r} is not enabled, only {', '.join(self._mechanisms)}",
            )

    def authenticate(self, mechanism: str, token: bytes, address: str) -> Principal:
        try:
            user, password = _user_and_password(token)
            wait_s = self._throttle.wait_s(user, address)
            if wait_s > 0:
                raise _failed(f"there were too many failed attempts, try again in {math.ceil(wait_s)} s")
            if not self._credentials().verify(user, password.encode()):
                self._throttle.failed(user, address)
                raise _failed("Invalid username or password")
        except FlussError as error:
            self._throttle.log(address, error)
            raise
        self._throttle.succeeded(user, address)
        return Principal(USER, user)


class PasswordCheck:
    """The same check for callers that have user and password at hand, as gRPC's do.

    Args:
        authenticator: of a listener.
        delay_s: time until a failed attempt gets its error.
    """

    def __init__(self, authenticator: Authenticator, delay_s: float = 0.5) -> None:
        self._authenticator = authenticator
        self._delay_s = delay_s

    async def __call__(self, user: str, password: str, address: str) -> Principal:
        """Who that is; ``address`` is the client's.

        Raises:
            FlussError: ``AUTHENTICATE_EXCEPTION``.
        """
        try:
            return self._authenticator.authenticate(PLAIN, f"\0{user}\0{password}".encode(), address)
        except FlussError:
            await asyncio.sleep(self._delay_s)
            raise


def _user_and_password(token: bytes) -> tuple[str, str]:
    try:
        authorization_id, user, password = split_plain(token)
    except UnicodeDecodeError:
        raise _failed("the message is not UTF-8") from None
    if authorization_id not in ("", user):
        raise _failed("the authorization id must be empty or the user name")
    return user, password


def split_plain(token: bytes) -> tuple[str, str, str]:
    """Authorization id, user and password of a PLAIN message.

    Raises:
        FlussError: ``AUTHENTICATE_EXCEPTION`` for another number of parts, no user or no password.
        UnicodeDecodeError: not UTF-8.
    """
    parts = token.decode().split("\0", 3)
    if len(parts) != 3:
        raise _failed(f"a PLAIN message has 3 parts, not {len(parts)}{' or more' if len(parts) > 3 else ''}")
    authorization_id, user, password = parts
    if not user:
        raise _failed("username not specified")
    if not password:
        raise _failed("password not specified")
    return authorization_id, user, password


def _failed(reason: str) -> FlussError:
    return FlussError(ErrorCode.AUTHENTICATE_EXCEPTION, f"Authentication failed: {reason}")
