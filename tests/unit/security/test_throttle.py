"""Failed authentications: how many there may be, who waits, and what is remembered."""

from __future__ import annotations

import logging

import pytest

from fluss_server.errors import FlussError
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.randomness import SystemSecrets
from fluss_server.security import throttle
from fluss_server.security.credentials import Credentials
from fluss_server.security.sasl import SaslAuthenticator
from fluss_server.security.throttle import AuthenticationThrottle, network_of

USERS = Credentials({"bob": "bob-pass", "ann": "ann-pass"}, SystemSecrets())


class Server:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.throttle = AuthenticationThrottle(self.clock.monotonic)
        self.authenticator = SaslAuthenticator(["PLAIN"], lambda: USERS, self.throttle)

    def attempt(self, user: str, password: str, address: str) -> str:
        try:
            self.authenticator.authenticate("PLAIN", f"\0{user}\0{password}".encode(), address)
        except FlussError as error:
            return "wait" if "too many failed attempts" in error.message else "wrong"
        return "ok"


def test_guesses_from_one_address_become_few() -> None:
    server = Server()
    checked = 0
    for _ in range(600 * 10):  # ten minutes, ten guesses a second, with other users each time
        checked += server.attempt(f"user{checked}", "guess", "192.0.2.1") == "wrong"
        server.clock.advance(100)
    assert checked < 45
    assert server.attempt("bob", "bob-pass", "192.0.2.2") == "ok", "other addresses are not concerned"


def test_guesses_for_one_user_from_many_addresses_become_few() -> None:
    server = Server()
    assert server.attempt("bob", "bob-pass", "198.51.100.7") == "ok"
    checked = 0
    for number in range(600 * 10):
        checked += server.attempt("bob", "guess", f"192.0.2.{number % 250}") == "wrong"
        server.clock.advance(100)
    assert checked < 100
    assert server.attempt("bob", "bob-pass", "198.51.100.7") == "ok", "not locked out where it authenticated before"
    assert server.attempt("ann", "ann-pass", "198.51.100.8") == "ok"


def test_a_failing_client_does_not_lock_out_another_behind_the_same_address() -> None:
    server = Server()
    assert server.attempt("bob", "bob-pass", "192.0.2.1") == "ok"
    for number in range(100):
        server.attempt(f"old-job-{number}", "old-password", "192.0.2.1")
    assert server.attempt("bob", "bob-pass", "192.0.2.1") == "ok"
    assert server.attempt("ann", "ann-pass", "192.0.2.1") == "wait", "unknown at this address until then"
    for _ in range(6):
        assert server.attempt("bob", "guess", "192.0.2.1") == "wrong"
    assert server.attempt("bob", "bob-pass", "192.0.2.1") == "wait", "its own failures count"
    server.clock.advance(1_100)
    assert server.attempt("bob", "bob-pass", "192.0.2.1") == "ok"


def test_a_few_mistakes_cost_nothing_and_are_forgotten() -> None:
    server = Server()
    for _ in range(3):
        for _ in range(5):
            assert server.attempt("bob", "typo", "192.0.2.1") == "wrong"
        assert server.attempt("bob", "bob-pass", "192.0.2.1") == "ok"
        server.clock.advance(301_000)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_ENTRIES", 100)
    server = Server()
    for number in range(1_000):
        server.throttle.failed(f"user{number}", f"10.0.{number // 250}.{number % 250}")
        server.throttle.succeeded(f"user{number}", "10.0.0.1")
    for table in (server.throttle._pairs, server.throttle._addresses, server.throttle._users):
        assert len(table) <= 100
    assert len(server.throttle._authenticated) == 100


def test_failures_are_logged_but_not_all(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    with caplog.at_level(logging.WARNING):
        for _ in range(500):
            server.attempt("bob", "secret-guess", "192.0.2.1")
        assert len(caplog.records) == throttle.LOG_LINES
        server.clock.advance(61_000)
        server.attempt("bob", "secret-guess", "192.0.2.1")
    assert "480 more authentications failed" in caplog.text
    assert len(caplog.records) == throttle.LOG_LINES + 2
    assert "secret-guess" not in caplog.text


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network
