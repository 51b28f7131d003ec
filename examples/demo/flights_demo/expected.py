"""The answers, computed directly from the source files with pandas: no Flink, no Fluss, none of the demo's SQL."""

from __future__ import annotations

import pandas as pd

from .dataset import Dataset

ENRICHED_KEY = ["flight_date", "carrier", "flight", "origin"]
DELAYS_KEY = ["carrier", "origin"]
LATE_MINUTES = 15

_FROM_FLIGHTS = [
    *("flight_date", "carrier", "flight", "origin", "dest", "tailnum", "dep_time", "sched_dep_time", "dep_delay"),
    *("arr_time", "sched_arr_time", "arr_delay", "air_time", "distance", "time_hour"),
]


def _joined(left: pd.DataFrame, right: pd.DataFrame, left_on: list[str], right_on: list[str]) -> pd.DataFrame:
    """Left join with at most one match; the key columns of `right` do not appear in the result."""
    keys = {new: old for new, old in zip(left_on, right_on, strict=True) if new != old}
    right = right.rename(columns={old: new for new, old in keys.items()})
    return left.merge(right, how="left", on=left_on, validate="many_to_one")


def enriched(data: Dataset) -> pd.DataFrame:
    """Every flight with its airline, both airports, plane and the weather at its origin in the hour of departure.

    One row a flight, key ENRICHED_KEY. What is unknown (the plane of 52,606 flights, four destinations outside the
    airports file, ...) is missing in the result.
    """
    flights = data.flights
    days = pd.to_datetime(flights[["year", "month", "day"]].astype("int64"))
    frame = flights.assign(flight_date=days.astype("datetime64[ms]"))[_FROM_FLIGHTS]
    frame = _joined(frame, data.airlines.rename(columns={"name": "airline"}), ["carrier"], ["carrier"])
    origins = data.airports[["faa", "name"]].rename(columns={"name": "origin_name"})
    frame = _joined(frame, origins, ["origin"], ["faa"])
    destinations = data.airports[["faa", "name", "lat", "lon", "alt", "tzone"]]
    destinations = destinations.rename(columns={column: f"dest_{column}" for column in destinations.columns[1:]})
    frame = _joined(frame, destinations, ["dest"], ["faa"])
    planes = data.planes[["tailnum", "year", "manufacturer", "model", "seats", "engine"]]
    planes = planes.rename(columns={column: f"plane_{column}" for column in planes.columns[1:]})
    frame = _joined(frame, planes, ["tailnum"], ["tailnum"])
    weather = data.weather[["origin", "time_hour", "temp", "wind_speed", "wind_gust", "precip", "visib"]]
    return _joined(frame, weather, ["origin", "time_hour"], ["origin", "time_hour"])


def delays(enriched_flights: pd.DataFrame) -> pd.DataFrame:
    """Delays per carrier and origin in whole minutes, so that every sum is exact; one row a group, key DELAYS_KEY.

    A delay is missing for a cancelled flight and, on arrival, for a diverted one; sums leave those out.
    """
    flights = enriched_flights
    facts = pd.DataFrame(
        {
            "carrier": flights["carrier"],
            "origin": flights["origin"],
            "flights": 1,
            "cancelled": flights["dep_time"].isna().astype("int64"),
            "departed": flights["dep_delay"].notna().astype("int64"),
            "dep_delay_sum": flights["dep_delay"],
            "arrived": flights["arr_delay"].notna().astype("int64"),
            "arr_delay_sum": flights["arr_delay"],
            "arrived_late": (flights["arr_delay"] >= LATE_MINUTES).fillna(False).astype("int64"),
            "distance_sum": flights["distance"],
            "seats_sum": flights["plane_seats"],
        }
    )
    groups = facts.groupby(DELAYS_KEY)
    sums = groups.sum(min_count=1)
    worst = flights.groupby(DELAYS_KEY)["arr_delay"].max().rename("arr_delay_max")
    return sums.join(worst).astype("Int64").reset_index()


def by_carrier(delays_by_origin: pd.DataFrame, airlines: pd.DataFrame) -> pd.DataFrame:
    """Delays per carrier, all origins together, the worst mean arrival delay first, with the airline's name."""
    sums = delays_by_origin.drop(columns=["origin", "arr_delay_max"]).groupby("carrier").sum(min_count=1)
    worst = delays_by_origin.groupby("carrier")["arr_delay_max"].max()
    frame = sums.join(worst).reset_index().merge(airlines, on="carrier", how="left", validate="one_to_one")
    frame = frame.rename(columns={"name": "airline"})
    # Sorted by the exact fraction's float; carrier breaks ties.
    order = frame.assign(mean=frame["arr_delay_sum"].astype("float64") / frame["arrived"].astype("float64"))
    order = order.sort_values(["mean", "carrier"], ascending=[False, True])
    return order.drop(columns="mean").reset_index(drop=True)
