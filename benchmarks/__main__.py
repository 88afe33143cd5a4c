"""`python -m benchmarks [NAME ...] [--rows N]`: measure, and print one table. Exit code 1 when a goal was missed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import adoption, api, latency, ledger, pace, sensor, snapshot, statements, throughput, workers
from benchmarks.filled import Filled, filled
from benchmarks.measured import Measured

ROWS = 1_000_000
PACE = "pace"
AT_A_LARGE_TABLE: dict[str, Callable[[Progress, Filled], list[Measured]]] = {
    "statements": statements.measure,
    "workers": workers.measure,
    "sensor": sensor.measure,
    "snapshot": snapshot.measure,
    "ledger": ledger.measure,
    "api": api.measure,
}
OTHERS: dict[str, Callable[[Progress], list[Measured]]] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "adoption": adoption.measure,
    PACE: pace.measure,
}


def main(arguments: Sequence[str]) -> int:
    """Measure what is named, or everything that says something about speed."""
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure, and print one table.")
    names = [*AT_A_LARGE_TABLE, *OTHERS]
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"what to measure: {', '.join(names)} (all but {PACE}, which takes minutes)",
    )
    large = ", ".join(AT_A_LARGE_TABLE)
    parser.add_argument("--rows", type=int, help=f"contacts in the table of {large} ({ROWS:,})")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in names]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names)}")
    if chosen.rows is not None and (others := [name for name in chosen.names or names if name in OTHERS]):
        parser.error(f"--rows means nothing to {', '.join(others)}: name some of {large}")
    console = Console()
    with Progress(console=console) as progress:
        found = _measure(progress, chosen.names or [name for name in names if name != PACE], chosen.rows or ROWS)
    table = Table("measured", "value", "goal", "met")
    for one in found:
        table.add_row(one.what, one.value, one.goal, {True: "yes", False: "NO", None: ""}[one.met])
    console.print(table)
    return int(any(one.met is False for one in found))


def _measure(progress: Progress, names: Sequence[str], rows: int) -> list[Measured]:
    found: list[Measured] = []
    if large := [name for name in names if name in AT_A_LARGE_TABLE]:
        with filled(progress, rows) as table:
            for name in large:
                found += AT_A_LARGE_TABLE[name](progress, table)
    for name in names:
        if name in OTHERS:
            found += OTHERS[name](progress)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
