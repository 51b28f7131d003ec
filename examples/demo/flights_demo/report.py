"""What the demo shows at its end: a table for the terminal and a chart as a PNG file."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no display needed

import matplotlib.pyplot as plt
import pandas as pd

_BAR_WIDTH = 24
_ORIGIN_COLOURS = {"EWR": "#1b6ca8", "JFK": "#d1495b", "LGA": "#3a7d44"}


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds the mean delays in minutes, from the exact sums."""
    return frame.assign(
        dep_delay=frame["dep_delay_sum"].astype("float64") / frame["departed"].astype("float64"),
        arr_delay=frame["arr_delay_sum"].astype("float64") / frame["arrived"].astype("float64"),
    )


def terminal_table(by_carrier: pd.DataFrame) -> str:
    """Returns the delays per carrier as text, a line each in the order given."""
    frame = _means(by_carrier)
    widest = max(frame["arr_delay"].abs().max(), 1.0)
    header = f"{'carrier':<31}{'flights':>8}{'cancelled':>11}{'dep delay':>11}{'arr delay':>11}{'late':>8}"
    lines = [header, "-" * (len(header) + 2 + _BAR_WIDTH)]
    for row in frame.itertuples():
        bar = "#" * max(1, round(_BAR_WIDTH * abs(row.arr_delay) / widest))
        lines.append(
            f"{row.carrier:<3}{row.airline[:27]:<28}{row.flights:>8,}{row.cancelled / row.flights:>11.1%}"
            f"{row.dep_delay:>7.1f} min{row.arr_delay:>7.1f} min{row.arrived_late / row.arrived:>8.1%}"
            f"  {bar if row.arr_delay >= 0 else bar + ' early'}"
        )
    return "\n".join(lines)


def chart(by_carrier: pd.DataFrame, by_origin: pd.DataFrame, target: Path) -> None:
    """Draws the mean delays per carrier, and per carrier and origin, into the PNG file `target`."""
    carriers = _means(by_carrier).iloc[::-1].reset_index(drop=True)  # the first one on top
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 7), sharey=True, width_ratios=(3, 2), layout="constrained")
    height = 0.38
    positions = carriers.index.to_numpy()
    left.barh(positions + height / 2, carriers["dep_delay"], height, label="departure", color="#8fb8de")
    bars = left.barh(positions - height / 2, carriers["arr_delay"], height, label="arrival", color="#1b6ca8")
    left.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    left.set_yticks(positions, [f"{row.airline}  {row.carrier}" for row in carriers.itertuples()])
    left.margins(x=0.1)  # room for the numbers beside the bars
    left.axvline(0, color="black", linewidth=0.8)
    left.set_title("by carrier")
    left.legend(loc="lower right", frameon=False)
    rank = {carrier: position for position, carrier in enumerate(carriers["carrier"])}
    for origin, group in _means(by_origin).groupby("origin"):
        heights = group["carrier"].map(rank)
        # The area of a dot follows the number of flights.
        sizes = 20 + group["flights"].astype("float64") / 120
        right.scatter(group["arr_delay"], heights, sizes, label=origin, color=_ORIGIN_COLOURS.get(origin), alpha=0.75)
    right.axvline(0, color="black", linewidth=0.8)
    right.set_title("on arrival, by origin (area = flights)")
    legend = right.legend(loc="lower right", frameon=False)
    for handle in legend.legend_handles:
        handle.set_sizes([60])
    for axes in (left, right):
        axes.set_xlabel("mean delay, minutes")
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    flights = int(by_carrier["flights"].sum())
    figure.suptitle(f"Delays of {flights:,} flights from New York in 2013", fontsize=14)
    figure.savefig(target, dpi=110)
    plt.close(figure)
