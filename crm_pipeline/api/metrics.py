"""`/metrics`: the pipeline's state for Prometheus, read from the database when it is asked for.

Nothing here scans the table of contacts: what is due and what waits is counted by partial indexes, the pushes of the
last minutes by the journal's index of times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from crm_pipeline.api.parts import TheParts
from crm_pipeline.api.problems import answers
from crm_pipeline.contacts.counts import depth, recent
from crm_pipeline.model import NewsKind, OutcomeKind
from crm_pipeline.wiring import Pipeline

MINUTES = 5
QUANTILES = (0.5, 0.95, 0.99)
CAUSES = (NewsKind.THROTTLED, NewsKind.UNAVAILABLE, NewsKind.CLOSED)
router = APIRouter(tags=["health"])
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text format"}
}


@router.get("/metrics", response_class=PlainTextResponse, responses=_TEXT | answers(401, 503), operation_id="metrics")
def metrics(parts: TheParts) -> PlainTextResponse:
    """Queue, pushes of the last 5 minutes, and gate of each CRM. 503 when the database cannot say."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PipelineCollector(list(parts.pipelines.values())))
    return PlainTextResponse(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class PipelineCollector(Collector):
    """Reads the state of each CRM anew for every scrape. Raises DatabaseFailure."""

    def __init__(self, pipelines: list[Pipeline]) -> None:
        self._pipelines = pipelines

    def collect(self) -> Iterator[Metric]:
        """The metrics, each with the label `crm`."""
        families = {name: GaugeMetricFamily(name, help_, labels=["crm", *labels]) for name, help_, labels in _FAMILIES}

        def add(name: str, value: float, *labels: str) -> None:
            families[f"crm_pipeline_{name}"].add_metric([crm, *labels], value)

        for pipeline in self._pipelines:
            crm, queue = pipeline.crm.name, pipeline.queue
            add("enabled", pipeline.crm.enabled)
            now = depth(queue)
            add("due_contacts", now.queued)
            add("waiting_contacts", now.waiting)
            add("oldest_due_seconds", now.oldest_seconds)
            lately = recent(queue, MINUTES, QUANTILES)
            for outcome in OutcomeKind:
                add("recent_pushes", lately.pushes.get(outcome, 0), outcome)
            for share, seconds in lately.answer_seconds.items():
                add("recent_answer_seconds", seconds, str(share))
            if not pipeline.crm.enabled:
                continue  # the gate belongs to a key
            gate = pipeline.gate.state()
            add("gate_paused_seconds", gate.paused_seconds)
            for cause in CAUSES:
                add("gate_cause", gate.cause_kind is cause, cause)
            add("gate_failures_in_a_row", gate.failures_in_a_row)
            add("gate_refused_in_a_row", gate.refused_in_a_row)
            add("gate_rate_per_second", gate.rate_per_second)
        yield from families.values()


_FAMILIES: list[tuple[str, str, list[str]]] = [
    ("crm_pipeline_enabled", "1: the CRM has a key", []),
    ("crm_pipeline_due_contacts", "Contacts that the next run pushes", []),
    ("crm_pipeline_waiting_contacts", "Contacts that wait for their retry", []),
    ("crm_pipeline_oldest_due_seconds", "How long the oldest due contact has not been changed; 0: none is due", []),
    ("crm_pipeline_recent_pushes", f"Pushes begun in the last {MINUTES} minutes, by outcome", ["outcome"]),
    (
        "crm_pipeline_recent_answer_seconds",
        f"How long the CRM took to answer, in the last {MINUTES} minutes; none when it was not asked",
        ["quantile"],
    ),
    ("crm_pipeline_gate_paused_seconds", "How much longer nothing is sent; 0: the gate is open", []),
    ("crm_pipeline_gate_cause", "1: why the gate is, or was last, paused", ["kind"]),
    ("crm_pipeline_gate_failures_in_a_row", "Requests without a usable answer, since one had one", []),
    ("crm_pipeline_gate_refused_in_a_row", "Contacts refused in a row, since one was taken", []),
    ("crm_pipeline_gate_rate_per_second", "Requests a second that may be sent now", []),
]
