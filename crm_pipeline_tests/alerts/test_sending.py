"""A notice reaches webhook and mailbox; what goes wrong is said in words, soon, and without a secret."""

from __future__ import annotations

import socket

from pydantic import SecretStr

from crm_pipeline.alerts.notices import Notice
from crm_pipeline.alerts.recipients import Recipient
from crm_pipeline.alerts.sending import deliver, send
from crm_pipeline.alerts.urls import addressed
from crm_pipeline_tests.support.receivers import MailServer, Webhook


def recipient(url: str, name: str = "it") -> Recipient:
    return Recipient(name, SecretStr(url))


def notice(name: str = "it") -> Notice:
    return Notice(name, "red", "3 contacts\nwait", 0.0)


def test_a_webhook_gets_title_and_text(webhook: Webhook) -> None:
    assert send(recipient(webhook.url), "crm_pipeline: red", "3 contacts\nwait") is None
    (posted,) = webhook.received
    assert (posted["title"], posted["message"]) == ("crm_pipeline: red", "3 contacts\nwait")


def test_a_mail_goes_to_every_address(mail_server: MailServer) -> None:
    url = addressed(mail_server.url, "ann@example.com,bob@example.com")
    assert send(recipient(url), "crm_pipeline: red", "3 contacts wait") is None
    assert sorted(address for mail in mail_server.received for address in mail.recipients) == [
        "ann@example.com",
        "bob@example.com",
    ]
    assert mail_server.received[0].subject == "crm_pipeline: red"
    assert "3 contacts wait" in mail_server.received[0].text


def test_a_refusal_is_said_without_the_secrets_of_the_url(webhook: Webhook) -> None:
    webhook.status = 403
    problem = send(recipient(webhook.url.replace("://", "://user:hunter22@")), "t", "b")
    assert problem is not None
    assert "403" in problem
    assert not any(secret in problem for secret in ("secret-path", "hunter22", "user:"))


def test_each_reason_is_the_recipients_own(webhook: Webhook, second_webhook: Webhook) -> None:
    webhook.status, second_webhook.status = 403, 410
    parcels = [(recipient(webhook.url, "one"), notice("one")), (recipient(second_webhook.url, "two"), notice("two"))]
    reasons = deliver(parcels)
    assert "403" in str(reasons["one"])
    assert "410" not in str(reasons["one"])
    assert "410" in str(reasons["two"])


def test_nobody_at_the_address_is_a_reason_and_no_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert send(recipient(f"json://127.0.0.1:{port}/secret-path"), "t", "b")
        assert send(recipient(f"mailto://127.0.0.1:{port}?from=a@b.com&to=c@d.com&mode=insecure"), "t", "b")


def test_one_who_never_answers_keeps_the_caller_no_longer_than_agreed_and_no_other_waiting(
    webhook: Webhook, second_webhook: Webhook
) -> None:
    second_webhook.open.clear()
    parcels = [
        (recipient(webhook.url, "quick"), notice("quick")),
        (recipient(second_webhook.url, "slow"), notice("slow")),
        (recipient(webhook.url, "after"), notice("after")),
    ]
    late = "no answer within 0.5 s"
    assert deliver(parcels, seconds=0.5) == {"quick": None, "slow": late, "after": None}
