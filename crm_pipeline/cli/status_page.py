"""How `crm-pipeline status` shows it to people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from crm_pipeline.cli.look import MINUTES, Look
from crm_pipeline.contacts.standing import GIVEN_UP_HOURS
from crm_pipeline.gate.gate import GateState
from crm_pipeline.model import NewsKind, OutcomeKind


def page(database: str, seen: Sequence[Look]) -> RenderableType:
    """All CRMs. `database`: where it is."""
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, database: {database}"
    return Group(Text(at, style="dim"), *(part for look in seen for part in _of_crm(look)))


def _of_crm(look: Look) -> Iterator[RenderableType]:
    yield Text()
    yield _title(look)
    yield _grid(_rows(look))
    if look.run_url:
        yield Text(f"  {look.run_url}", overflow="fold")  # the whole width: a link that is broken leads nowhere
    to_do = look.to_do()
    style = "red" if look.closed else "yellow" if to_do else "green"
    yield _grid([("To do", "\n".join(to_do) or "nothing", style)])


def _title(look: Look) -> Text:
    crm = look.pipeline.crm
    if look.disabled_because:
        return Text.assemble((crm.spec.title, "bold"), "  ", (f"disabled: {look.disabled_because}", "yellow"))
    return Text.assemble(
        (crm.spec.title, "bold"), f"  on: {crm.sync.every}, and when something is due, to {look.pipeline.push_target}"
    )


def _grid(rows: Iterable[tuple[str, str, str]]) -> Table:
    """Of (what, how it is, style)."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=12)
    table.add_column(overflow="fold")
    for name, text, style in rows:
        table.add_row(Text(f"  {name}"), Text(text, style))
    return table


def _rows(look: Look) -> Iterator[tuple[str, str, str]]:
    now, more = look.depth, look.standing
    oldest = f", the oldest not changed for {_age(now.oldest_seconds)}" if now.queued else ""
    yield "Due now", f"{now.queued:,}{oldest}", ""
    past = f", {more.retry_over:,} of them just till the next run" if more.retry_over else ""
    at = f", the next at {_time(more.next_retry_at)}" if more.next_retry_at and now.waiting > more.retry_over else ""
    yield "Waiting", f"{now.waiting:,} for their retry{past}{at}", ""
    over = f", and {more.lease_over:,} that their process left behind" if more.lease_over else ""
    yield "In flight", f"{more.being_pushed:,}{over}", ""
    yield "Given up", f"{more.given_up:,} in {GIVEN_UP_HOURS} hours", ""
    yield f"{MINUTES} minutes", _recent(look), ""
    if look.gate is not None:
        yield "Gate", *_gate(look.gate)
    if look.hour is not None:
        ends = f", till {_time(look.hour.ends_at)}" if look.hour.ends_at else ""
        yield "Quota", f"{look.hour.used:,} of {look.hour.allowed:,} requests of the hour are used{ends}", ""
    yield "Last run", _last_run(look), ""


def _recent(look: Look) -> str:
    pushes, answer = look.recent.pushes, look.recent.answer_seconds
    if not pushes:
        return "nothing was pushed"
    took = f"; half of the answers took at most {1000 * answer[0.5]:,.0f} ms" if answer else ""
    return f"{_outcomes(pushes)}: {look.pushes_per_second:.2g} contacts/s{took}"


def _gate(gate: GateState) -> tuple[str, str]:
    """How it is, and the style."""
    pace = f"{gate.rate_per_second:.3g} requests/s"
    if gate.cause_kind is NewsKind.CLOSED:
        until = f" till {_time(gate.paused_until)}" if gate.paused else ", and the next run asks again"
        return f"closed{until}", "red"  # why, and what to do, is said below
    if gate.paused:
        until = _time(gate.paused_until) if gate.paused_until else f"in {gate.paused_seconds:.0f} s"
        return f"paused till {until}, then {pace}: {gate.cause or 'the CRM asked for it'}", "yellow"
    if gate.failures_in_a_row:
        return f"open, {pace}; requests in a row without a usable answer: {gate.failures_in_a_row:,}", "yellow"
    if gate.refused_in_a_row:
        return f"open, {pace}; contacts refused in a row: {gate.refused_in_a_row:,}", "yellow"
    return f"open, {pace}", ""


def _last_run(look: Look) -> str:
    run = look.last_run
    if run is None:
        return "none has pushed anything"
    seconds = (run.last_push_at - run.began_at).total_seconds()
    within = f" within {_age(seconds)}" if seconds >= 1 else ""
    return (
        f"{_outcomes(run.pushes)}{within}, the last {_age(run.seconds_ago)} ago "
        f"({_time(run.last_push_at)})\nrun {run.run_id}"
    )


def _outcomes(pushes: Mapping[str, int]) -> str:
    return ", ".join(f"{pushes[outcome]:,} {outcome}" for outcome in OutcomeKind if pushes.get(outcome))


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _time(at: datetime | None) -> str:
    """To the second, with its day when that is not today."""
    if at is None:
        return "?"
    at = at.astimezone(UTC)
    return f"{at:%H:%M:%S} UTC" if at.date() == datetime.now(UTC).date() else f"{at:%Y-%m-%d %H:%M:%S} UTC"
