"""Logins from their sources."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.runtime.randomness import SystemSecrets
from fluss_server.runtime.system_disk import SystemDisk
from fluss_server.security.credentials import (
    CredentialFile,
    Credentials,
    CredentialStore,
    check_configured_users,
    read_credential_file,
)


def test_only_the_right_password_of_a_known_user_is_good() -> None:
    credentials = Credentials({"bob": "geheim-ü", "eve": ""}, SystemSecrets())
    assert credentials.verify("bob", "geheim-ü".encode())
    assert not credentials.verify("bob", b"geheim")
    assert not credentials.verify("bob", b"")
    assert not credentials.verify("Bob", "geheim-ü".encode())
    assert not credentials.verify("nobody", b"")
    assert not credentials.verify("nobody", "geheim-ü".encode())
    assert len(credentials) == 2


def test_later_sources_replace_users(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("# team\n\nbob:from-file\nann:a:b:c\n")
    store = CredentialStore({"bob": "fixed", "root": "fixed"}, SystemSecrets(), CredentialFile(path, SystemDisk()))
    assert store.current().verify("root", b"fixed")
    assert store.current().verify("bob", b"from-file")
    assert store.current().verify("ann", b"a:b:c")
    store.configure({"bob": "configured"})
    assert store.current().verify("bob", b"configured")
    assert not store.current().verify("bob", b"from-file")
    store.configure({})
    assert store.current().verify("bob", b"from-file")


def test_a_changed_file_holds_for_the_next_login(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "users"
    path.write_text("bob:one\n")
    store = CredentialStore({}, SystemSecrets(), CredentialFile(path, SystemDisk()))
    before = store.current()
    assert store.current() is before, "an unchanged file is not read again"
    (tmp_path / "new").write_text("bob:two\nann:three\n")
    os.replace(tmp_path / "new", path)
    assert store.current().verify("bob", b"two")
    assert store.current().verify("ann", b"three")
    with caplog.at_level(logging.ERROR):
        path.write_text("bob:two\nsecret without colon\n")
        assert store.current().verify("bob", b"two"), "a bad file changes nothing"
        path.unlink()
        assert store.current().verify("ann", b"three")
    assert [record.getMessage().count("stay valid") for record in caplog.records] == [1, 1]
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"bob:x\ngeheim\n", "line 2"),
        (b":geheim\n", "line 1"),
        (b"bob:\n", "line 1"),
        (b"\xff\xfe", "UTF-8"),
        (b"a:" + b"x" * (1 << 20), "larger than 1048576 bytes"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "users"
    path.write_bytes(content)
    with pytest.raises(FlussError, match=problem) as raised:
        read_credential_file(path, SystemDisk())
    assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
    assert "geheim" not in raised.value.message.partition(str(path))[2]


def test_a_missing_file_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FlussError, match="No such file"):
        CredentialFile(tmp_path / "none", SystemDisk())


@pytest.mark.parametrize(
    "users", [{"a b": "x"}, {"": "x"}, {"ü": "x"}, {"bob": ""}, {"bob": 'se"cret'}, {"bob": "se;cret"}, {"bob": "s\n"}]
)
def test_configured_users_follow_the_official_rules(users: dict[str, str]) -> None:
    with pytest.raises(FlussError) as raised:
        check_configured_users(users)
    assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
    assert "cret" not in str(raised.value)
