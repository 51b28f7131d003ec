"""Credentials of users: where they come from, and a comparison in constant time.

Sources, a later one replacing the user of an earlier one:

1. the JAAS text of the configuration (``security.sasl.plain.jaas.config``), read at the start;
2. an environment variable (its name: ``security.sasl.plain.credentials.env``), read at the start;
3. a file (``security.sasl.plain.credentials.file``), read again whenever it has changed;
4. ``security.sasl.plain.credentials``, which can be changed while the server runs.

A listener that has a JAAS text of its own knows the users of that text only.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import re
from collections.abc import Mapping
from pathlib import PurePath

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.runtime.disk import Disk
from fluss_server.runtime.randomness import Secrets

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 1 << 20
_USER_NAME = re.compile(r"[A-Za-z0-9_]+\Z", re.ASCII)
_BAD_PASSWORD = re.compile(r'[,:"\\;\x00-\x1f\x7f]')


class Credentials:
    """Users and digests of their passwords, all of one size. Immutable."""

    def __init__(self, passwords: Mapping[str, str], secrets: Secrets) -> None:
        self._key = secrets.token(32)
        self._digests = {user: self._digest(password.encode()) for user, password in passwords.items()}
        self._nobody = secrets.token(32)

    def __len__(self) -> int:
        return len(self._digests)

    def verify(self, user: str, password: bytes) -> bool:
        """True for a known user with its password. Takes as long for unknown users and wrong passwords."""
        known = self._digests.get(user)
        equal = hmac.compare_digest(self._digest(password), self._nobody if known is None else known)
        return equal and known is not None

    def _digest(self, password: bytes) -> bytes:
        return hashlib.blake2b(password, digest_size=32, key=self._key).digest()


class CredentialFile:
    """Credentials in a file, one ``user:password`` a line; empty lines and those that begin with ``#`` do not count.

    Args:
        path: must be readable now.
        disk: where it is.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """

    def __init__(self, path: PurePath, disk: Disk) -> None:
        self._path = path
        self._disk = disk
        self._seen = _identity(path, disk)
        self._passwords = read_credential_file(path, disk)

    def passwords(self) -> tuple[Mapping[str, str], bool]:
        """Passwords by user, and whether they may differ from those of the last call.

        A changed file that cannot be read is reported once in the log, and the ones before the change stay valid.
        """
        seen = _identity(self._path, self._disk)
        if seen == self._seen:
            return self._passwords, False
        self._seen = seen
        try:
            self._passwords = read_credential_file(self._path, self._disk)
        except FlussError as error:
            logger.error("%s; the credentials before the change stay valid", error)
            return self._passwords, False
        logger.info("read the credentials of %d users from %s", len(self._passwords), self._path)
        return self._passwords, True


class CredentialStore:
    """The credentials of one listener.

    Args:
        fixed: passwords by user, from sources that are read once.
        secrets: source of the keys of digests.
        file: a source that is checked before every authentication.
    """

    def __init__(self, fixed: Mapping[str, str], secrets: Secrets, file: CredentialFile | None = None) -> None:
        self._fixed = dict(fixed)
        self._secrets = secrets
        self._file = file
        self._configured: Mapping[str, str] = {}
        self._credentials = self._merge()

    def configure(self, passwords: Mapping[str, str]) -> None:
        """Replace the users of the configuration."""
        self._configured = dict(passwords)
        self._credentials = self._merge()

    def current(self) -> Credentials:
        """What is valid now."""
        if self._file is not None and self._file.passwords()[1]:
            self._credentials = self._merge()
        return self._credentials

    def _merge(self) -> Credentials:
        from_file = self._file.passwords()[0] if self._file is not None else {}
        return Credentials({**self._fixed, **from_file, **self._configured}, self._secrets)


def check_configured_users(passwords: Mapping[str, str]) -> None:
    """Refuse what Apache Fluss refuses in ``security.sasl.plain.credentials``.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``; it names the user, never the password.
    """
    for user, password in passwords.items():
        if not _USER_NAME.match(user):
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION, f"bad user name {user!r}", hint="use letters, digits and '_'"
            )
        if not password or _BAD_PASSWORD.search(password):
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"the password of user {user!r} is empty or has a character that is not allowed here",
                hint='leave out , : " ; \\ and control characters, or keep it in a credentials file',
            )


def read_credential_file(path: PurePath, disk: Disk) -> dict[str, str]:
    """Passwords by user.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` with the number of the bad line; it never quotes the line.
    """
    try:
        with contextlib.closing(disk.open(path, read_only=True)) as file:
            data = file.read(MAX_FILE_BYTES + 1, 0)
        if len(data) > MAX_FILE_BYTES:
            raise _bad_file(path, f"it is larger than {MAX_FILE_BYTES} bytes")
        lines = data.decode().splitlines()
    except OSError as error:
        raise _bad_file(path, error.strerror or type(error).__name__) from None
    except UnicodeDecodeError:
        raise _bad_file(path, "it is not UTF-8") from None
    passwords: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, password = line.partition(":")
        if not colon or not user or not password:
            raise _bad_file(path, f"line {number} is not user:password")
        passwords[user] = password
    return passwords


def _bad_file(path: PurePath, problem: str) -> FlussError:
    return FlussError(ErrorCode.INVALID_CONFIG_EXCEPTION, f"cannot read the credentials file {path}: {problem}")


def _identity(path: PurePath, disk: Disk) -> tuple[int, ...] | None:
    try:
        return disk.status(path).identity
    except OSError:
        return None
