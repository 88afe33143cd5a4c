"""Addresses that stayed at the CRM when their contact got another one there."""

from __future__ import annotations

from typing import Any

from crm_pipeline.contacts.queue import Queue


def orphans(queue: Queue) -> list[Any]:
    """Rows of address, contact_id, email (of today), started_at."""
    statement = queue.statements("orphans", "queries")
    return list(queue.database.run(lambda connection: connection.execute(statement, {"crm": queue.crm}).all()))


def settle(queue: Queue, address: str) -> bool:
    """A person has deleted or merged it at the CRM: it is listed no more. False: it was not listed."""
    statement, parameters = queue.statements("settle_orphan", "queries"), {"crm": queue.crm, "address": address.lower()}
    return bool(queue.database.run(lambda connection: connection.execute(statement, parameters).all()))
