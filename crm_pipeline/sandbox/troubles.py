"""What is not as it is at a new account, in words."""

from __future__ import annotations

from dataclasses import asdict

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.faults import Hold

MISHAPS = {
    "throttled": "get 429",
    "failed": "get a 5xx",
    "unanswered": "are stored and never answered",
    "reset": "have their connection reset",
    "truncated": "are stored, their answer breaks off",
    "invalid": "are stored, their answer is a web page",
}


def troubles(account: Account) -> list[str]:
    """Sentences for people: what goes wrong on purpose, which limits hold, which switches were moved."""
    faults, quota, found = account.faults, account.quota, []
    if faults.latency_seconds:
        found.append(f"each answer takes {faults.latency_seconds:g} s")
    found += [f"{share:.3g}% {MISHAPS[name]}" for name, share in _percentages(account) if share]
    if faults.unknown_ip:
        found.append("this machine's IP address is refused")
    if faults.answer is not None:
        found.append("chosen contacts are answered otherwise")
    found += [f"answers are held{_of(hold)}" for hold in faults.holding]
    if quota.used_by_others:
        found.append(f"another tool makes {quota.used_by_others:g} requests a second")
    if account.switches is not None:
        default = asdict(type(account.switches)())
        found += [f"{name}: {value}" for name, value in asdict(account.switches).items() if value != default[name]]
    return found


def limits(account: Account) -> list[str]:
    """The limits that hold now."""
    quota = account.quota
    every = (
        (quota.per_second, "a second"),
        (quota.per_hour, "an hour"),
        (quota.elsewhere_per_hour, "an hour elsewhere"),
    )
    return [f"{limit:,} {what}" for limit, what in every if limit is not None]


def _percentages(account: Account) -> list[tuple[str, float]]:
    return [(name, 100 * share) for name, share in asdict(account.faults.shares).items()]


def _of(hold: Hold) -> str:
    held = hold.held
    return f" ({len(held)} so far: {', '.join(held[-3:])})" if held else ", none so far"
