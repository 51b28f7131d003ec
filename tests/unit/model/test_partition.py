"""Names of partitions against the official ones, and which specifications are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.partition import (
    HISTORICAL,
    MAX_PARTITION_NAME_LENGTH,
    PartitionInfo,
    check_partial_spec,
    matches,
    partition_name,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "partitions_and_names.json").read_text())
KEY = ("dt", "region")


def refused(spec: dict[str, str], *, key: tuple[str, ...] = KEY, for_creation: bool = True) -> FlussError:
    with pytest.raises(FlussError) as caught:
        partition_name(key, spec, for_creation=for_creation)
    assert caught.value.code is ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION
    return caught.value


@pytest.mark.parametrize("entry", VECTORS["multi_key"])
def test_names_of_several_columns(entry: dict[str, Any]) -> None:
    spec = dict(zip(reversed(entry["keys"]), reversed(entry["values"]), strict=True))
    name = partition_name(entry["keys"], spec, for_creation=True)
    assert name == entry["partition_name"]
    assert PartitionInfo(0, 0, name).values == tuple(entry["values"])


@pytest.mark.parametrize("entry", VECTORS["identifiers"])
def test_values_follow_the_rule_of_names(entry: dict[str, Any]) -> None:
    value = entry["name"]
    allowed = entry["invalid_reason"] is None
    for for_creation in (False, True):
        if allowed and not (for_creation and entry["reserved_prefix_reason"]):
            assert partition_name(["p"], {"p": value}, for_creation=for_creation) == value
        else:
            refused({"p": value}, key=("p",), for_creation=for_creation)


@pytest.mark.parametrize("entry", VECTORS["typed_values"])
def test_text_forms_of_typed_values_are_names_where_the_official_ones_are(entry: dict[str, Any]) -> None:
    value = entry["partition_value"]
    if entry["valid_name"]:
        assert partition_name(["p"], {"p": value}, for_creation=True) == value
    else:
        refused({"p": value}, key=("p",))


@pytest.mark.parametrize(
    "spec", [{}, {"dt": "1"}, {"region": "eu"}, {"dt": "1", "x": "2"}, {"dt": "1", "region": "eu", "x": "2"}]
)
def test_a_specification_has_exactly_the_partition_columns(spec: dict[str, str]) -> None:
    assert "dt, region" in refused(spec).message
    refused(spec, for_creation=False)


def test_the_historical_partition_cannot_be_created_by_hand() -> None:
    assert "reserved" in str(refused({"dt": HISTORICAL}, key=("dt",)))


def test_a_name_fits_into_a_directory_name() -> None:
    longest = {"dt": "a" * 200, "region": "b" * (MAX_PARTITION_NAME_LENGTH - 201)}
    assert len(partition_name(KEY, longest, for_creation=True)) == MAX_PARTITION_NAME_LENGTH
    too_long = {**longest, "dt": "a" * 199, "region": longest["region"] + "bb"}
    refused(too_long)
    assert partition_name(KEY, too_long, for_creation=False)


def test_partial_specifications() -> None:
    partition = PartitionInfo(0, 0, "2024$eu")
    assert matches(KEY, partition, {})
    assert matches(KEY, partition, {"region": "eu"})
    assert matches(KEY, partition, {"region": "eu", "dt": "2024"})
    assert not matches(KEY, partition, {"region": "us"})
    assert not matches(KEY, partition, {"dt": "202"})
    check_partial_spec(KEY, {"region": "anything/at all"})
    with pytest.raises(FlussError) as caught:
        check_partial_spec(KEY, {"day": "1"})
    assert caught.value.code is ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION
    assert "'day'" in caught.value.message
