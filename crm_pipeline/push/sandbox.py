"""Demo contacts never reach a real CRM, real contacts never a sandbox. The database separates them, not the address."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crm_pipeline.errors import SandboxMismatch
from crm_pipeline.model import Answer, CheckResult, News, NewsKind, OutcomeKind


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a server may be. A sandbox names itself in a response header; a server that does not is a CRM."""

    embedded_database: bool
    allowed: bool
    """CRM_PIPELINE_ALLOW_SANDBOX."""

    def refusal(self, is_sandbox: bool) -> str | None:
        """Why this server must not get this database's contacts, or None."""
        if is_sandbox and not self.embedded_database and not self.allowed:
            return (
                "The server is a sandbox, and the contacts are those of DATABASE_URL: nothing is sent. "
                "Set the CRM's real base URL, or CRM_PIPELINE_ALLOW_SANDBOX=true for a trial."
            )
        if not is_sandbox and self.embedded_database:
            return (
                "The server is a real CRM, and the contacts are the embedded database's demo contacts: "
                "nothing is sent. Set DATABASE_URL to your own database."
            )
        return None

    def check(self, result: CheckResult) -> None:
        """Raise SandboxMismatch, before any contact is claimed."""
        refusal = self.refusal(result.sandbox)
        if refusal is not None and result.news.kind is NewsKind.WELL:
            raise SandboxMismatch(refusal)

    def guard(self, answer: Answer) -> Answer:
        """The answer; or, when the server has changed its kind since the check, one that closes the gate."""
        answered = any(outcome.http_status is not None for outcome in answer.outcomes.values())
        refusal = self.refusal(answer.sandbox) if answered else None
        if refusal is None:
            return answer
        outcomes = {
            contact_id: replace(outcome, kind=OutcomeKind.BLOCKED, code="sandbox", error=refusal)
            for contact_id, outcome in answer.outcomes.items()
        }
        return Answer(outcomes, News(NewsKind.CLOSED, refusal), answer.sandbox)
