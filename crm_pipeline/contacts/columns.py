"""A CRM's name -> the columns and SQL fragments that its statements are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass

from crm_pipeline.contacts.statuses import Meaning, known, predicate
from crm_pipeline.contacts.which import Which, choice
from crm_pipeline.model import ProcessingStatus, SyncStatus
from crm_pipeline.redaction import LONGEST_ERROR

SOURCE_COLUMNS = ("email", "name", "phone_number", "email_type", "has_gmail", "source_url", "domain_id", "page_id")
"""The columns of `contacts` that are sent to a CRM; together they make the fingerprint."""

LONGEST_KEY = 320
"""Characters of an address in email_key: a valid one has at most 254, and an index entry must stay small."""

BLANKS = "".join(f"\\u{code:04X}" for code in range(0x3001) if chr(code).isspace())
"""What is cut from both ends of an address for its email_key, as str.strip() cuts it before it is sent; for E'...'."""


@dataclass(frozen=True)
class CrmColumns:
    """Names of one CRM's columns in `contacts`; the types are the enums' names in the catalogue."""

    crm: str
    external_id: str
    sync_type: str = "crm_sync_status"
    processing_type: str = "crm_processing_status"
    error_length: int | None = None
    """Length of the error column, where an adopted one is a varchar(n): what is written is cut."""
    further: tuple[str, ...] = ()
    """Columns that the CRM's settings map, beside those that every CRM gets."""
    mapping: str = ""
    """Changes with each change of that mapping: part of the fingerprint. Hexadecimal."""

    def __post_init__(self) -> None:
        for name in (self.crm, self.external_id, *self.further):
            if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
                raise ValueError(f"{name!r} cannot be a column's name")
        if not re.fullmatch(r"[0-9a-f]*", self.mapping):
            raise ValueError("a mapping's stamp is hexadecimal")

    @property
    def sync_status(self) -> str:
        """What a person wants and sees."""
        return f"{self.crm}_sync_status"

    @property
    def processing_status(self) -> str:
        """What the system is doing."""
        return f"{self.crm}_processing_status"

    @property
    def error(self) -> str:
        """The reason of the last failure."""
        return f"{self.crm}_processing_error"

    def fragments(self, which: Which | None = None) -> dict[str, str]:
        """What stands in braces in the SQL files. Tables have the aliases c, s (crm_sync), a (crm_attempts).

        `which`: what a person chose, in the place of what is due or named; its retries are fresh ones.
        """
        sync, processing = f"c.{self.sync_status}", f"c.{self.processing_status}"
        email_key = f"nullif({address_key('c.email')}, '')"
        # The address under which the CRM knows it, where it has another one today.
        former_key = (
            f"CASE WHEN position('@' IN c.{self.external_id}) > 0 "
            f"THEN nullif({address_key(f'c.{self.external_id}')}, {email_key}) END"
        )
        due = predicate(Meaning.DUE, sync, processing)
        wish, waiting = predicate(Meaning.WISH, sync, processing), predicate(Meaning.WAITING, sync, processing)
        indexed = f"{sync} IN ('Selected', 'Queued') AND {processing} IS DISTINCT FROM 'Queued'"  # as the index says it
        time_known = (
            "(s.next_retry_at IS NOT NULL OR (c.last_failed_crm = :crm AND c.next_retry_at IS NOT NULL)) IS TRUE"
        )
        values = ", ".join(f"c.{column}" for column in (*SOURCE_COLUMNS, *self.further))
        values += f", '{self.mapping}'" if self.mapping else ""
        further = ", ".join(f"'{column}', c.{column}" for column in self.further)
        return {
            "sync_status": self.sync_status,
            "processing_status": self.processing_status,
            "error": self.error,
            "error_length": str(min(self.error_length or LONGEST_ERROR, LONGEST_ERROR)),
            "external_id": self.external_id,
            "longest_key": str(LONGEST_KEY),
            "further": f"json_build_object({further})::text",
            # Another contact has today the address under which the CRM knows this one.
            "former_address_in_use": f"""{former_key} IS NOT NULL AND EXISTS (
            SELECT FROM crm_sync other
            JOIN contacts another ON another.id = other.contact_id
            WHERE other.crm = :crm AND other.email_key = {former_key} AND other.contact_id <> c.id
                AND {address_key("another.email")} = other.email_key
            OFFSET 0
        )""",
            # Another address than today's, with which a process died: its request may have been made.
            "tried_address": f"""(
        SELECT a.external_id FROM crm_attempts a
        WHERE a.contact_id = c.id AND a.crm = :crm AND a.outcome = 'released' AND a.external_id <> {email_key}
        ORDER BY a.started_at DESC
        LIMIT 1
    )""",  # noqa: S608 (own names)
            "sync_type": self.sync_type,
            "processing_type": self.processing_type,
            "email_key": email_key,
            "former_key": former_key,
            "todays_key": address_key("today.email"),
            # OFFSET 0 makes these two a look-up per contact, by index, whatever the statistics say.
            "mechanics": (
                "LEFT JOIN LATERAL "
                "(SELECT m.* FROM crm_sync m WHERE m.contact_id = c.id AND m.crm = :crm OFFSET 0) s ON true"
            ),
            # Nobody in flight has its address or its former one, nor is known under its address: one that is pushed may
            # be renamed, and must not take away what the other pushes. (IN is a hash, made once, of those in flight.)
            "no_twin_in_flight": f"""({email_key} IN (
            SELECT unnest(ARRAY[twin.email_key, (
                SELECT {address_key(f"held.{self.external_id}")} FROM contacts held WHERE held.id = twin.contact_id
            )])
            FROM crm_sync twin
            WHERE twin.crm = :crm AND twin.lease_id IS NOT NULL
        )) IS NOT TRUE
        AND NOT EXISTS (
            SELECT FROM crm_sync twin
            WHERE twin.crm = :crm AND twin.email_key = {former_key} AND twin.lease_id IS NOT NULL OFFSET 0
        )""",  # noqa: S608 (own names)
            "fingerprint": f"encode(sha256(convert_to(json_build_array({values})::text, 'UTF8')), 'hex')",
            # The application's table has not just refused that it is claimed.
            "not_refused": "(s.refused_until > now()) IS NOT TRUE",
            # Some person wants the contact, and no push of it is under way or waiting for its time.
            "due": due,
            "claimable": due if which is None else choice(which, sync, processing),
            "keeps_retries": "true" if which is None else "false",
            "selectable": "true" if which is None else choice(which, sync, processing),
            "chosen": choice(which or Which.WANTED, sync, processing),
            "wish": f"{indexed} AND {wish}",
            "waiting": f"{indexed} AND {waiting}",
            # Not plain: the planner would read the index of all that wait, once for each contact.
            "has_time": "coalesce(s.next_retry_at IS NOT NULL, false)",
            "is_retry": f"{waiting} AND {time_known}",
            "in_flight": f"{sync} = 'Processing' AND {processing} = 'Processing'",
            "promotable": f"""{indexed}
        AND s.lease_id IS NULL
        AND ({wish} OR {waiting} AND (
            s.next_retry_at <= now() OR (c.last_failed_crm = :crm AND c.next_retry_at <= now()) OR NOT ({time_known})
        ))""",
            "unclear": predicate(Meaning.UNCLEAR, sync, processing),
            "known": f"{known(sync, SyncStatus)} AND ({processing} IS NULL OR {known(processing, ProcessingStatus)})",
            "left_behind": f"""{predicate(Meaning.HELD, sync, processing)}
        AND NOT EXISTS (
            SELECT FROM crm_sync s WHERE s.contact_id = c.id AND s.crm = :crm AND s.lease_id IS NOT NULL
        )""",
            # The answer's lease is still the contact's own. (Not "=": that invites the planner to look up the lease.)
            "owner": "s.contact_id = a.contact_id AND s.crm = a.crm AND s.lease_id IS NOT DISTINCT FROM a.lease_id",
            "at_rest": f"(c.{self.sync_status} IN ('Complete', 'Error') "
            f"AND c.{self.processing_status} IS DISTINCT FROM 'Queued') IS TRUE",
            # A late success of a former lease met this one (no fingerprint), which had taken a contact at rest.
            "fenced_at_rest": (
                "s.claimed_fingerprint IS NULL AND s.prior_sync_status IN ('Complete', 'Error') "
                "AND s.prior_processing_status IS DISTINCT FROM 'Queued'"
            ),
            "release_lease": (
                "lease_id = NULL, leased_until = NULL, run_id = NULL, "
                "prior_sync_status = NULL, prior_processing_status = NULL, claimed_fingerprint = NULL"
            ),
        }


def address_key(expression: str) -> str:
    """SQL of an address as it is compared: whoever asks whether two are the same, asks with this."""
    return f"left(lower(btrim({expression}, E'{BLANKS}')), {LONGEST_KEY})"
