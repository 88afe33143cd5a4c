"""One notice when a subject turns red, one when it is well again, none in between, to each whom it concerns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from crm_pipeline.alerts.notices import GIVEN_UP_AFTER_SECONDS, LARGEST_OUTBOX, Finding, Memory
from crm_pipeline.alerts.recipients import Recipient

ALL = Recipient("all", SecretStr("json://127.0.0.1"))
OTHER = Recipient("other", SecretStr("json://127.0.0.1"))
BREVO = Recipient("brevo alone", SecretStr("json://127.0.0.1"), "brevo")


def found(bad: bool, subject: str = "job brevo_sync", crm: str | None = "brevo") -> Finding:
    return Finding(subject, crm, bad, "3 contacts wait. Check the key.", "run 1")


def deliver(memory: Memory, now: float, problem: str | None = None) -> list[str]:
    """The titles that one look would send to ALL, with this result."""
    due = memory.due(["all"], now)
    memory.settle({notice.recipient: problem for notice in due}, now)
    return [notice.title for notice in due]


@given(st.lists(st.booleans(), max_size=30))
def test_a_notice_goes_out_at_each_turn_and_at_no_other_look(looks: list[bool]) -> None:
    memory, sent, red = Memory(), [], False
    for now, bad in enumerate(looks):
        memory.take([found(bad)], [ALL], float(now))
        memory = Memory.of(memory.as_json())
        titles = deliver(memory, float(now))
        assert len(titles) == (bad is not red)
        red = bad
        sent += titles
    names = ["crm_pipeline: job brevo_sync is red", "crm_pipeline: job brevo_sync is well again"]
    assert sent == [names[number % 2] for number in range(len(sent))]


def test_it_says_what_happened_since_when_and_where_to_look() -> None:
    memory = Memory()
    memory.take([found(True)], [ALL], 0.0)
    memory.take([found(False)], [ALL], 300.0)
    red, well = (notice.text for notice in memory.outbox)
    assert red == ("RED since 1970-01-01 00:00 UTC: job brevo_sync\n3 contacts wait. Check the key.\nRun: run 1")
    assert well.startswith("WELL AGAIN: job brevo_sync, which was red for 5 min")


def test_what_turned_at_one_look_makes_one_notice() -> None:
    memory = Memory()
    memory.take([found(True, "a"), found(True, "b")], [ALL], 0.0)
    memory.take([found(False, "a"), found(True, "b"), found(True, "c")], [ALL], 1.0)
    titles = [notice.title for notice in memory.outbox]
    assert titles == ["crm_pipeline: 2 red", "crm_pipeline: 1 red, 1 well again"]


def test_who_is_told_of_one_crm_hears_of_no_other() -> None:
    memory = Memory()
    memory.take([found(True, "job other_sync", "other")], [ALL, BREVO], 0.0)
    assert [notice.recipient for notice in memory.outbox] == ["all"]
    memory.take([found(True)], [ALL, BREVO], 1.0)
    assert [notice.recipient for notice in memory.outbox] == ["all", "all", "brevo alone"]


def test_what_concerns_all_crms_is_told_to_everybody() -> None:
    memory = Memory()
    memory.take([found(True, "job housekeeping", None)], [ALL, BREVO], 0.0)
    assert [notice.recipient for notice in memory.outbox] == ["all", "brevo alone"]


def test_a_notice_that_was_not_taken_is_tried_again_later_and_later_and_keeps_its_place() -> None:
    memory = Memory()
    memory.take([found(True)], [ALL], 0.0)
    memory.take([found(False)], [ALL], 1.0)
    tries = []
    for now in range(0, 4000, 10):
        if titles := deliver(memory, float(now), "down"):
            assert titles == ["crm_pipeline: job brevo_sync is red"]
            tries.append(now)
    assert tries == [0, 60, 180, 420, 900, 1860, 3780]
    assert deliver(memory, 8000.0) == ["crm_pipeline: job brevo_sync is red"]
    assert deliver(memory, 8000.0) == ["crm_pipeline: job brevo_sync is well again"]


def test_one_who_cannot_be_reached_keeps_no_other_waiting() -> None:
    memory = Memory()
    memory.take([found(True)], [ALL, OTHER], 0.0)
    memory.settle({"all": "down", "other": None}, 0.0)
    assert [(notice.recipient, notice.tries) for notice in memory.outbox] == [("all", 1)]


def test_after_a_day_it_is_given_up_and_said() -> None:
    memory = Memory()
    memory.take([found(True)], [ALL], 0.0)
    assert memory.settle({"all": "down"}, GIVEN_UP_AFTER_SECONDS) == []
    (said,) = memory.settle({"all": "down"}, GIVEN_UP_AFTER_SECONDS + 1)
    assert said == "all was not told in a day (down): crm_pipeline: job brevo_sync is red"
    assert memory.outbox == []


def test_notices_for_somebody_who_is_gone_from_the_settings_are_dropped_and_the_store_stays_small() -> None:
    memory = Memory()
    memory.take([found(True)], [OTHER], 0.0)
    for now in range(2 * LARGEST_OUTBOX):
        memory.take([found(now % 2 == 1)], [ALL], float(now))
    memory.due(["all"], 0.0)
    assert {notice.recipient for notice in memory.outbox} == {"all"}
    assert len(memory.outbox) <= LARGEST_OUTBOX


def test_what_another_version_kept_is_no_hindrance() -> None:
    assert Memory.of('{"troubles": {"a": 1}}') == Memory.of("no JSON") == Memory.of(None) == Memory()


def test_a_digest_names_what_is_red_now() -> None:
    memory = Memory()
    memory.digest(ALL, "Brevo: 5 synced.", 0.0)
    memory.take([found(True)], [], 0.0)
    memory.digest(BREVO, "Brevo: 5 synced.", 0.0)
    assert [(notice.title, notice.text) for notice in memory.outbox] == [
        ("crm_pipeline: all is well (daily digest)", "Brevo: 5 synced.\nRed now: nothing."),
        ("crm_pipeline: 1 red (daily digest)", "Brevo: 5 synced.\nRed now: job brevo_sync."),
    ]
