"""`/api/v3/crm`: a CRM's account."""

from __future__ import annotations

from fastapi import APIRouter

from crm_pipeline.api.kept import Busy
from crm_pipeline.api.parts import PipelineOfPath, TheParts
from crm_pipeline.api.problems import NotNow, answers
from crm_pipeline.api.schemas import Checked
from crm_pipeline.errors import SettingsError
from crm_pipeline.model import NewsKind
from crm_pipeline.wiring import Pipeline

router = APIRouter(prefix="/api/v3/crm", tags=["CRMs"])


@router.get("/{crm}/check", responses=answers(400, 401, 409, 503), operation_id="check")
def check(pipeline: PipelineOfPath, parts: TheParts) -> Checked:
    """Ask the CRM whether key, plan and list are usable with these settings. A pass opens a gate that was closed.

    At most two requests, which wait for their turn among the pushes. The answer is kept for 10 seconds. 409 while the
    CRM has no key, or must not get this database's contacts; 503 while it pauses, or another call asks it.
    """
    try:
        parts.settings.crm(pipeline.crm.name)
    except SettingsError as error:
        raise NotNow(str(error)) from None
    return parts.kept[pipeline.crm.name].checked.get(lambda: _ask(pipeline, parts))


def _ask(pipeline: Pipeline, parts: TheParts) -> Checked:
    title = pipeline.crm.spec.title
    gate = pipeline.gate.begin()
    if gate.paused and gate.cause_kind is NewsKind.THROTTLED:
        raise Busy(f"{title} is {gate.sentence()}", gate.paused_seconds)
    result = pipeline.push.check(parts.stop)  # not "by hand": whoever polls has looked into nothing
    usable = result.news.kind is NewsKind.WELL
    return Checked(
        crm=pipeline.crm.name,
        usable=usable,
        message=f"{title} accepts the key." if usable else result.news.sentence or f"{title} gives no usable answer.",
        target=pipeline.push_target,
        sandbox=result.sandbox,
        facts=dict(result.facts),
        warnings=result.warnings,
    )
