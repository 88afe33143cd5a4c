"""Several processes, one gate: together they keep to one rate, and one's pause is the others'."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import News, NewsKind

RATE = 40.0


@contextmanager
def senders(database: Database, number: int, count: int, rate: float = RATE) -> Iterator[list[subprocess.Popen[str]]]:
    """So many processes, each of which will send `count` requests as soon as it is told to."""
    url = database.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "crm_pipeline_tests.gate.sending", url, str(rate), str(count)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(number)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def times(process: subprocess.Popen[str]) -> list[float]:
    """When it sent, all of it; waits for its end."""
    assert process.stdout is not None
    sent = [float(line) for line in process.stdout]
    assert process.wait(10) == 0
    return sent


def test_two_processes_share_one_rate_and_none_sends_before_its_slot(database: Database) -> None:
    Gate(database, "brevo", identity="key-1", rate_per_second=RATE).begin()
    with senders(database, 2, 30) as processes:
        began = time.monotonic()
        for process in processes:
            go(process)
        each = [times(process) for process in processes]
    sent = sorted(each[0] + each[1])
    assert len(sent) == 60
    assert all(at >= began + number / RATE - 0.05 for number, at in enumerate(sent)), "a busy machine sends later"
    assert sent[-1] - sent[0] <= 59 / RATE + 10, "and not much later"
    both_send = min(max(one) for one in each)
    shares = [sum(1 for at in one if at <= both_send) for one in each]
    assert min(shares) / max(shares) > 0.3, f"shared fairly: {shares}"


def test_a_pause_that_one_process_learns_of_is_kept_by_all_and_none_hurries_after_it(database: Database) -> None:
    gate = Gate(database, "brevo", identity="key-1", rate_per_second=RATE)
    gate.begin()
    with senders(database, 3, 15) as processes:
        for process in processes:
            go(process)
        time.sleep(0.5)
        gate.tell(News(NewsKind.THROTTLED, "quota used up", 1.0))
        told = time.monotonic()
        sent = sorted(at for process in processes for at in times(process))
    assert len(sent) == 45
    assert len([at for at in sent if at < told]) > 3
    late = [at - told for at in sent if told + 0.3 < at < told + 0.98]
    assert late == [], "slots that were in hand are used within a quarter of a second"
    after = [at for at in sent if at >= told + 0.98]
    assert all(at >= told + 0.95 + number / RATE for number, at in enumerate(after)), "no burst when it ends"
