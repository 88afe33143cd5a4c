"""A process of its own that sends at the gate's pace: `python -m crm_pipeline_tests.gate.sending URL RATE COUNT`.

It writes `ready`, waits for a line, and writes the monotonic time of each request: on one machine all processes have
the same clock.
"""

from __future__ import annotations

import sys
import threading
import time

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import Gate
from crm_pipeline.gate.pacer import Pacer


def main(url: str, rate: float, count: int) -> None:
    gate = Gate(Database(url), "brevo", identity="key-1", rate_per_second=rate)
    gate.state()
    print("ready", flush=True)
    sys.stdin.readline()
    pacer = Pacer(gate, count, threading.Event())
    for _ in range(count):
        assert pacer.wait(time.monotonic() + 60) is None
        print(time.monotonic(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
