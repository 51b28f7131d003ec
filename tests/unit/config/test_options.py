"""Options: syntax of values, bounds, unknown keys, and the printed reference."""

from __future__ import annotations

import pytest

from fluss_server.config import (
    SERVER_OPTIONS,
    TABLE_OPTIONS,
    Configuration,
    Option,
    OptionType,
    find_option,
    options_reference,
)
from fluss_server.config.option import MAX_INT, parse_duration_ms, parse_size_bytes
from fluss_server.errors import ErrorCode, FlussError

DAY_MS = 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("7 d", 7 * DAY_MS),
        ("1day", DAY_MS),
        ("24 hours", DAY_MS),
        ("10 min", 600_000),
        ("2m", 120_000),
        ("3 MINUTES", 180_000),
        ("30 s", 30_000),
        ("1 sec", 1000),
        ("500ms", 500),
        ("0 ms", 0),
        ("5000 \N{MICRO SIGN}s", 5),
        ("007 s", 7000),
    ],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1b", 1),
        ("0 bytes", 0),
        ("4k", 4096),
        ("64 MB", 64 << 20),
        ("1024m", 1 << 30),
        ("2gb", 2 << 30),
        ("1t", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", " ", "5", "s", "-1 s", "1.5 s", "1 fortnight", "1 s s", "1 500us", "s1", "\u0661 s", "1 us"]
)
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        parse_duration_ms(text)


def test_durations_are_whole_milliseconds() -> None:
    with pytest.raises(ValueError, match="milliseconds"):
        parse_duration_ms("1500 micros")


@pytest.mark.parametrize("text", ["", "5", "mb", "-1 b", "1.5 kb", "1 pb", "1 kb 2 b"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        parse_size_bytes(text)


def refused(option: Option, text: str) -> str:
    with pytest.raises(FlussError) as raised:
        option.parse(text)
    assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
    assert option.key in raised.value.message
    return raised.value.message


def test_every_kind_of_value() -> None:
    assert Option("k", OptionType.BOOL, None, "").parse(" True ") is True
    assert Option("k", OptionType.BOOL, None, "").parse("FALSE") is False
    assert Option("k", OptionType.INT, None, "", minimum=-5).parse("-3") == -3
    assert Option("k", OptionType.LONG, None, "").parse("+9223372036854775807") == 2**63 - 1
    assert Option("k", OptionType.STRING, None, "").parse(" a b ") == "a b"
    choice = Option("k", OptionType.CHOICE, None, "", choices=("first_row", "WAL"))
    assert [choice.parse(text) for text in ("FIRST_ROW", "wal")] == ["first_row", "WAL"]


def test_values_that_are_refused() -> None:
    refused(Option("k", OptionType.BOOL, None, ""), "yes")
    for text in ("", "1.0", "0x10", "1_000", "2147483648", "-2147483649", "9" * 5000):
        refused(Option("k", OptionType.INT, None, "", minimum=-MAX_INT - 1), text)
    refused(Option("k", OptionType.LONG, None, ""), "9223372036854775808")
    assert "first_row" in refused(Option("k", OptionType.CHOICE, None, "", choices=("first_row",)), "last_row")
    bounded = Option("k", OptionType.SIZE, None, "", minimum=10, maximum=1024)
    assert "10 to 1024 bytes" in refused(bounded, "9b")
    refused(bounded, "1025b")
    refused(bounded, "9" * 5000 + "b")
    assert "1 ms or more" in refused(Option("k", OptionType.DURATION, None, "", minimum=1), "0 s")


def test_ratios() -> None:
    ratio = Option("k", OptionType.RATIO, None, "")
    assert [ratio.parse(text) for text in ("0", "1", "0.85", ".5", "1.000")] == [0.0, 1.0, 0.85, 0.5, 1.0]
    for text in ("", "85%", "1.01", "-0.1", "nan", "1e-3", "0." + "9" * 5000):
        assert "number from 0 to 1" in refused(ratio, text)
    assert Configuration(SERVER_OPTIONS, {}).get_ratio("server.data-disk.write-limit-ratio") == 0.95


def test_a_configuration_has_defaults_and_given_values() -> None:
    configuration = Configuration(
        SERVER_OPTIONS, {"log.segment.file-size": "1 mb", "log.flush.before-acknowledge": "false"}
    )
    assert configuration.get_int("log.segment.file-size") == 1 << 20
    assert not configuration.get_bool("log.flush.before-acknowledge")
    assert configuration.get_int("server.writer-id.expiration-time") == DAY_MS // 2
    assert configuration.is_given("log.segment.file-size")
    assert not configuration.is_given("log.flush.interval")


def test_a_configuration_of_a_table() -> None:
    configuration = Configuration(TABLE_OPTIONS, {"table.log.format": "arrow"})
    assert configuration.get_str("table.log.format") == "ARROW"
    assert configuration.get_str("table.delete.behavior") == "ALLOW"
    assert configuration.get_int("table.log.ttl") == 7 * DAY_MS
    assert configuration.get("table.merge-engine") is None
    with pytest.raises(KeyError):
        configuration.get("no.such.key")


@pytest.mark.parametrize(
    ("options", "key", "hint"),
    [
        (SERVER_OPTIONS, "log.segment.filesize", "log.segment.file-size"),
        (SERVER_OPTIONS, "LOG.FLUSH.INTERVAL", "log.flush.interval"),
        (TABLE_OPTIONS, "table.log.arrow.compression", "table.log.arrow.compression.type"),
        (SERVER_OPTIONS, "zzz", "fluss config options"),
    ],
)
def test_unknown_keys_name_the_nearest_known_one(options: dict[str, Option], key: str, hint: str) -> None:
    with pytest.raises(FlussError) as raised:
        Configuration(options, {key: "1"})
    assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
    assert raised.value.hint is not None
    assert hint in raised.value.hint
    assert key in str(raised.value)


@pytest.mark.parametrize("options", [SERVER_OPTIONS, TABLE_OPTIONS], ids=["server", "table"])
def test_the_tables_are_sound(options: dict[str, Option]) -> None:
    for key, option in options.items():
        assert option.key == key
        assert find_option(options, key) is option
        assert option.description.endswith(".")
        assert bool(option.choices) == (option.type is OptionType.CHOICE)
        if option.default is not None:
            option.parse(option.default)


def test_table_options_are_complete() -> None:
    assert len(TABLE_OPTIONS) == 29
    assert all(key.startswith("table.") for key in TABLE_OPTIONS)


def test_the_reference_names_every_option() -> None:
    text = options_reference()
    for option in (*SERVER_OPTIONS.values(), *TABLE_OPTIONS.values()):
        assert f"\n{option.key}  (" in text
    assert "(NONE | LZ4_FRAME | ZSTD; default ZSTD)" in text
    assert max(map(len, text.splitlines())) <= 120


def test_lists_and_maps() -> None:
    listed = Option("l", OptionType.LIST, None, "L.")
    mapped = Option("m", OptionType.MAP, None, "M.")
    assert listed.parse(" a, b ,,c") == ("a", "b", "c")
    assert listed.parse("") == ()
    assert mapped.parse("a:1, b:x:y,") == {"a": "1", "b": "x:y"}
    for bad in ("a", ":1", "a:1,a:2"):
        with pytest.raises(FlussError) as raised:
            mapped.parse(bad)
        assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
    configuration = Configuration({"l": listed, "m": mapped}, {"m": "k:v"})
    assert configuration.get_list("l") == ()
    assert configuration.get_map("m") == {"k": "v"}


def test_secrets_are_not_shown() -> None:
    users = Option("users", OptionType.MAP, None, "U.", secret=True)
    key = Option("key", OptionType.INT, None, "K.", secret=True)
    assert users.redact("bob:geheim, ann:x") == "bob:******,ann:******"
    assert users.redact("geheim") == "******"
    assert key.redact("4711") == "******"
    for option in (users, key):
        with pytest.raises(FlussError, match="cannot be read") as raised:
            option.parse("geheim")
        assert "geheim" not in str(raised.value)


def test_a_key_may_hold_a_name() -> None:
    options = {"a.<listener>.b": Option("a.<listener>.b", OptionType.STRING, None, "A.")}
    assert find_option(options, "a.client.b").key == "a.client.b"
    assert Configuration(options, {"a.client.b": "x"}).find_str("a.client.b") == "x"
    assert Configuration(options, {}).find_str("a.client.b") is None
    for unknown in ("a..b", "a.b", "a.x.y.b", "a.client.c"):
        with pytest.raises(FlussError):
            find_option(options, unknown)
