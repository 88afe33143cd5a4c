"""What is bad, what was told of it, and what is still to be told: plain data, kept between looks as JSON.

One notice goes out when a subject turns bad, and one when it is well again, to each recipient. One that could not be
delivered is tried again for a day; those of one recipient stay in their order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from crm_pipeline.alerts.recipients import Recipient

FIRST_WAIT_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 3600.0
GIVEN_UP_AFTER_SECONDS = 86_400.0
LONGEST_TEXT = 2_000
LARGEST_OUTBOX = 200
"""Of what waits for recipients that cannot be reached, the newest is kept."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How a subject is now."""

    subject: str
    """`job brevo_sync`, `check brevo/contacts: pace`."""
    crm: str | None
    """None: it concerns all."""
    bad: bool
    says: str
    """What happened, how many contacts, what to do."""
    link: str
    """To the run, or its id."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A subject that is bad."""

    crm: str | None
    since: float
    """Unix time, in seconds."""


@dataclass(slots=True)
class Notice:
    """A message for one recipient that has not been delivered."""

    recipient: str
    title: str
    text: str
    made_at: float
    kind: str = "info"
    """As Apprise has them, for services that show or page by it: failure, success, info."""
    tries: int = 0
    next_at: float = 0.0


@dataclass(slots=True)
class Memory:
    """What is kept between two looks."""

    troubles: dict[str, Trouble] = field(default_factory=dict)
    outbox: list[Notice] = field(default_factory=list)
    digest_day: str | None = None
    """The last day (UTC) of which a digest was made."""

    @classmethod
    def of(cls, text: str | None) -> Memory:
        """From JSON; empty when there is none, or when it is another version's."""
        try:
            kept = json.loads(text or "")
            troubles = {subject: Trouble(**trouble) for subject, trouble in kept["troubles"].items()}
            return cls(troubles, [Notice(**notice) for notice in kept["outbox"]], kept["digest_day"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def as_json(self) -> str:
        """To be read by `of`."""
        return json.dumps(asdict(self))

    def take(self, findings: Iterable[Finding], recipients: Sequence[Recipient], now: float) -> None:
        """Note what has changed, and make a notice of it for each recipient that it concerns."""
        changed: list[tuple[Finding, float]] = []
        for finding in findings:
            trouble = self.troubles.get(finding.subject)
            if finding.bad and trouble is None:
                self.troubles[finding.subject] = Trouble(finding.crm, now)
                changed.append((finding, now))
            elif not finding.bad and trouble is not None:
                del self.troubles[finding.subject]
                changed.append((finding, trouble.since))
        for recipient in recipients:
            own = [(finding, since) for finding, since in changed if _concerns(finding.crm, recipient)]
            if own:
                kind = "failure" if any(finding.bad for finding, _ in own) else "success"
                self._add(recipient, _title([finding for finding, _ in own]), _text(own, now), now, kind)

    def digest(self, recipient: Recipient, text: str, now: float) -> None:
        """Make a notice that is no change: how things are."""
        bad = [subject for subject, trouble in self.troubles.items() if _concerns(trouble.crm, recipient)]
        red = "; ".join(bad) if bad else "nothing"
        title = f"crm_pipeline: {len(bad)} red" if bad else "crm_pipeline: all is well"
        self._add(recipient, f"{title} (daily digest)", f"{text}\nRed now: {red}.", now, "info")

    def due(self, names: Iterable[str], now: float) -> list[Notice]:
        """Each recipient's oldest notice, if its time has come. Those for recipients that are gone are dropped."""
        known = set(names)
        self.outbox = [notice for notice in self.outbox if notice.recipient in known][-LARGEST_OUTBOX:]
        return [notice for notice in self._oldest().values() if notice.next_at <= now]

    def settle(self, results: Mapping[str, str | None], now: float) -> list[str]:
        """`results`: by recipient, why its oldest notice was not delivered; None: it was. Returns what is given up."""
        given_up = []
        oldest = self._oldest()
        for recipient, problem in results.items():
            notice = oldest[recipient]
            if problem is None:
                self.outbox.remove(notice)
                continue
            notice.tries += 1
            notice.next_at = now + min(FIRST_WAIT_SECONDS * 2 ** min(notice.tries, 20), LONGEST_WAIT_SECONDS)
            if now - notice.made_at > GIVEN_UP_AFTER_SECONDS:
                self.outbox.remove(notice)
                given_up.append(f"{notice.recipient} was not told in a day ({problem}): {notice.title}")
        return given_up

    def _oldest(self) -> dict[str, Notice]:
        """Each recipient's oldest notice."""
        return {notice.recipient: notice for notice in reversed(self.outbox)}

    def _add(self, recipient: Recipient, title: str, text: str, now: float, kind: str) -> None:
        self.outbox.append(Notice(recipient.name, title, text[:LONGEST_TEXT], now, kind))


def _concerns(crm: str | None, recipient: Recipient) -> bool:
    return crm is None or recipient.crm in (None, crm)


def _title(findings: Sequence[Finding]) -> str:
    if len(findings) == 1:
        (finding,) = findings
        return f"crm_pipeline: {finding.subject} is {'red' if finding.bad else 'well again'}"
    bad = sum(finding.bad for finding in findings)
    well = len(findings) - bad
    parts = [f"{bad} red" if bad else "", f"{well} well again" if well else ""]
    return f"crm_pipeline: {', '.join(filter(None, parts))}"


def _text(changed: Sequence[tuple[Finding, float]], now: float) -> str:
    paragraphs = []
    for finding, since in changed:
        if finding.bad:
            head = f"RED since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M} UTC: {finding.subject}"
            paragraphs.append(f"{head}\n{finding.says}\nRun: {finding.link}")
        else:
            minutes = max(1, round((now - since) / 60))
            head = f"WELL AGAIN: {finding.subject}, which was red for {minutes} min"
            paragraphs.append(f"{head}\n{finding.says}\nRun: {finding.link}")
    return "\n\n".join(paragraphs)
