"""Options that change while the server runs."""

from __future__ import annotations

import logging

import pytest

from fluss_server.config import Configuration, Option, OptionType
from fluss_server.config.dynamic import Alteration, AlterOperation, DescribedOption, DynamicConfiguration
from fluss_server.config.option import option_table
from fluss_server.errors import ErrorCode, FlussError

SET, DELETE, APPEND, SUBTRACT = AlterOperation
OPTIONS = option_table(
    [
        Option("size", OptionType.INT, "1", "S.", minimum=1, dynamic=True),
        Option("names", OptionType.LIST, None, "N.", dynamic=True),
        Option("users", OptionType.MAP, None, "U.", dynamic=True, secret=True),
        Option("fixed", OptionType.INT, "5", "F."),
        Option("key", OptionType.STRING, None, "K.", secret=True),
    ]
)


def configuration(**initial: str) -> DynamicConfiguration:
    return DynamicConfiguration(OPTIONS, initial)


def alter(dynamic: DynamicConfiguration, *changes: tuple[str, str | None, AlterOperation]) -> None:
    dynamic.apply(dynamic.plan([Alteration(*change) for change in changes]))


def test_set_and_delete() -> None:
    dynamic = configuration(size="7")
    alter(dynamic, ("size", "9", SET), ("names", "a,b", SET))
    assert (dynamic.current.get_int("size"), dynamic.current.get_list("names")) == (9, ("a", "b"))
    alter(dynamic, ("size", None, DELETE), ("names", None, DELETE), ("users", None, DELETE))
    assert (dynamic.current.get_int("size"), dynamic.current.get_list("names")) == (7, ())
    assert dynamic.overrides == {}


def test_append_and_subtract_start_from_what_is_in_force() -> None:
    dynamic = configuration(names="a", users="ann:1")
    alter(dynamic, ("names", "b", APPEND), ("names", "c, a", APPEND), ("users", "bob:2", APPEND))
    assert dynamic.overrides == {"names": "a,b,c,a", "users": "ann:1,bob:2"}
    alter(dynamic, ("names", "a", SUBTRACT), ("names", "zzz", SUBTRACT), ("users", "ann:whatever", SUBTRACT))
    assert dynamic.overrides == {"names": "b,c", "users": "bob:2"}
    alter(dynamic, ("names", "b,c", SUBTRACT), ("users", "bob", SUBTRACT))
    assert dynamic.overrides == {"names": None, "users": None}, "also what was given at the start is gone"
    assert dynamic.current.get_map("users") == {}
    alter(dynamic, ("users", "eve:3", APPEND))
    assert dynamic.current.get_map("users") == {"eve": "3"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("fixed", "6", SET), "cannot be changed while"),
        (("fixed", None, DELETE), "cannot be changed while"),
        (("siz", "6", SET), "did you mean 'size'"),
        (("size", "many", SET), "'many'"),
        (("size", "0", SET), "out of range"),
        (("size", None, SET), "needs a value"),
        (("names", None, APPEND), "needs a value"),
        (("size", "1", APPEND), "for lists and maps"),
        (("size", "1", SUBTRACT), "for lists and maps"),
        (("users", "ann:geheim", APPEND), "users: the value cannot be read"),
        (("users", "geheim", SET), "users: the value cannot be read"),
        (("names", "x" * 65_537, SET), "has 65537 characters"),
    ],
)
def test_a_bad_change_refuses_all(change: tuple[str, str | None, AlterOperation], problem: str) -> None:
    dynamic = configuration(users="ann:1")
    with pytest.raises(FlussError, match=problem) as raised:
        alter(dynamic, ("names", "a", SET), change)
    assert raised.value.code is ErrorCode.CONFIG_EXCEPTION
    assert "geheim" not in str(raised.value)
    assert dynamic.overrides == {}
    assert dynamic.current.get_list("names") == ()


class Follower:
    """Records what it is told."""

    def __init__(self, dynamic: DynamicConfiguration, *keys: str) -> None:
        self.told: list[int] = []
        self.refuses = self.fails = False
        dynamic.subscribe(keys, self.validate, self.apply)

    def validate(self, configuration: Configuration) -> None:
        if self.refuses:
            raise FlussError(ErrorCode.INVALID_CONFIG_EXCEPTION, "not with me", hint="ask others")

    def apply(self, configuration: Configuration) -> None:
        if self.fails and configuration.get_int("size") != 1:
            raise FlussError(ErrorCode.STORAGE_EXCEPTION, "broken")
        self.told.append(configuration.get_int("size"))


def test_those_concerned_are_told_after_all_agreed() -> None:
    dynamic = configuration()
    first, other, second = Follower(dynamic, "size"), Follower(dynamic, "names"), Follower(dynamic, "size", "users")
    alter(dynamic, ("size", "2", SET))
    alter(dynamic, ("size", "2", SET))
    assert (first.told, other.told, second.told) == ([2], [], [2])
    second.refuses = True
    with pytest.raises(FlussError, match=r"not with me \(ask others\)") as raised:
        alter(dynamic, ("size", "3", SET))
    assert raised.value.code is ErrorCode.CONFIG_EXCEPTION
    assert (first.told, dynamic.current.get_int("size")) == ([2], 2)
    assert dynamic.subscribed == {"size", "names", "users"}


def test_a_failure_takes_the_change_back() -> None:
    dynamic = configuration()
    first, second = Follower(dynamic, "size"), Follower(dynamic, "size")
    second.fails = True
    with pytest.raises(FlussError, match="broken") as raised:
        alter(dynamic, ("size", "3", SET))
    assert raised.value.code is ErrorCode.CONFIG_EXCEPTION
    assert (first.told, second.told) == ([3, 1], [1])
    assert (dynamic.overrides, dynamic.current.get_int("size")) == ({}, 1)


def test_what_is_stored_and_cannot_be_used_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    dynamic = configuration(size="2", names="a")
    stored = {"size": "3", "names": None, "users": "geheim", "fixed": "1", "future.option": "x"}
    unusable = {"users": "geheim", "fixed": "1", "future.option": "x"}
    with caplog.at_level(logging.ERROR):
        assert dynamic.load(stored) == unusable
    assert len(caplog.records) == 3
    assert "geheim" not in caplog.text
    assert dynamic.overrides == {"size": "3", "names": None}
    assert (dynamic.current.get_int("size"), dynamic.current.get_list("names")) == (3, ())


def test_descriptions_have_effective_values_and_hide_secrets() -> None:
    dynamic = configuration(size="2", key="geheim", users="ann:geheim")
    alter(dynamic, ("size", "3", SET), ("users", "bob:geheim", APPEND), ("names", "x", SET), ("names", "x", SUBTRACT))
    assert dynamic.describe() == [
        DescribedOption("fixed", "5", False),
        DescribedOption("key", "******", False),
        DescribedOption("names", None, True),
        DescribedOption("size", "3", True),
        DescribedOption("users", "ann:******,bob:******", True),
    ]


def test_descriptions_have_the_defaults() -> None:
    assert ("size", "1", False) in configuration().describe()
    assert ("size", "2", False) in configuration(size="2").describe()
