"""`python -m benchmarks [NAME ...]`: measure, and print one table. Exit code 1 when a goal was missed."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import adoption, latency, statements, throughput
from benchmarks.measured import Measured

ALL: dict[str, Callable[[Progress], list[Measured]]] = {
    "statements": statements.measure,
    "throughput": throughput.measure,
    "latency": latency.measure,
    "adoption": adoption.measure,
}


def main(names: list[str]) -> int:
    """Measure what is named, or everything."""
    console = Console()
    unknown = [name for name in names if name not in ALL]
    if unknown:
        console.print(f"No benchmark {', '.join(unknown)}; there are: {', '.join(ALL)}.")
        return 2
    found: list[Measured] = []
    with Progress(console=console) as progress:
        for name in names or ALL:
            found += ALL[name](progress)
    table = Table("measured", "value", "goal", "met")
    for one in found:
        table.add_row(one.what, one.value, one.goal, {True: "yes", False: "NO", None: ""}[one.met])
    console.print(table)
    return int(any(one.met is False for one in found))


sys.exit(main(sys.argv[1:]))
