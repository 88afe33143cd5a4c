"""The token, what is open to everybody, what is too large, and what the log has of a request."""

from __future__ import annotations

import logging

import pytest
import requests

from crm_pipeline.api.access_log import LONGEST_PATH
from crm_pipeline.api.app import LARGEST_BODY
from crm_pipeline.api.auth import token_of
from crm_pipeline.database.engine import Database
from crm_pipeline.errors import SettingsError
from crm_pipeline.settings import Settings
from crm_pipeline_tests.api.conftest import BEARER, TOKEN, Client
from crm_pipeline_tests.support.contacts import insert, pair
from crm_pipeline_tests.support.waiting import wait_for

SELECT = "/api/v3/contacts/crm/select"


def ask(api: Client, method: str, path: str, authorization: str | None = None, **options: object) -> requests.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return requests.request(method, api.url + path, headers=headers, timeout=10, **options)  # type: ignore[arg-type]


def test_without_the_right_token_nothing_is_read_and_nothing_is_done(api: Client, database: Database) -> None:
    ann = insert(database, "ann@example.com", "New", None)
    body = {"contact_ids": [str(ann)], "crms": ["brevo"], "action": "select"}
    wrong = [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}0",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer \xe9",
    ]
    for authorization in (None, *wrong):
        said = ask(api, "POST", SELECT, authorization, json=body)
        assert (said.status_code, said.headers["www-authenticate"]) == (401, "Bearer"), authorization
        assert "CRM_PIPELINE_API_TOKEN" in said.json()["detail"]
        assert ask(api, "POST", SELECT, authorization, data=b"{no json").status_code == 401, authorization
    assert pair(database, ann) == ("New", None)


def test_every_path_but_health_and_ready_needs_the_token(api: Client) -> None:
    document = api.get("/api/v3/openapi.json").json()
    paths = {path for path in document["paths"] if ask(api, "GET", path).status_code != 401}
    assert paths == {"/health", "/ready"}
    for path in ("/api/v3/openapi.json", "/docs", "/nowhere", "/health/", "//health", "/ready/../metrics"):
        assert ask(api, "GET", path).status_code == 401, path


def test_the_scheme_is_taken_in_any_case(api: Client) -> None:
    assert ask(api, "GET", "/metrics", f"bearer {TOKEN}").status_code == 200


def test_a_body_of_more_than_a_mebibyte_is_refused_with_and_without_a_length(api: Client) -> None:
    large = b" " * (LARGEST_BODY + 1)
    assert api.post(SELECT, data=large).status_code == 413
    assert api.post(SELECT, data=iter([large[: LARGEST_BODY // 2]] * 3)).status_code == 413
    assert api.post(SELECT, data=large[:LARGEST_BODY]).status_code == 422


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_without_a_token_it_serves_this_machine_over_the_embedded_database(host: str) -> None:
    assert token_of(Settings.load(), host) is None


@pytest.mark.parametrize(
    ("host", "database_url"),
    [
        ("127.0.0.1", "postgresql://ann@db.example/crm"),
        ("0.0.0.0", ""),
        ("::", ""),
        ("192.0.2.1", ""),
        ("localhost.example", ""),
    ],
)
def test_without_a_token_it_serves_nobody_else(monkeypatch: pytest.MonkeyPatch, host: str, database_url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with pytest.raises(SettingsError, match="CRM_PIPELINE_API_TOKEN is not set"):
        token_of(Settings.load(), host)
    monkeypatch.setenv("CRM_PIPELINE_API_TOKEN", TOKEN)
    assert token_of(Settings.load(), host) == TOKEN


def test_the_log_has_method_path_status_and_time_and_nothing_else_of_a_request(
    api: Client, caplog: pytest.LogCaptureFixture
) -> None:
    requested = [
        lambda: api.get("/api/v3/contacts/sync-stats?crm=brevo&token=s3cret-in-a-query"),
        lambda: api.get("/nowhere%0Aforged line"),
        lambda: ask(api, "GET", "/metrics", "Bearer s3cret-in-a-header"),
        lambda: api.get("/health"),
    ]
    with caplog.at_level(logging.DEBUG, "crm_pipeline.api"):
        for count, request in enumerate(requested, 1):
            request()
            wait_for(lambda count=count: len(caplog.records) == count, 5)  # type: ignore[misc]
    lines = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
    assert [line.rsplit(" ", 2)[0] for line in lines] == [
        "INFO GET /api/v3/contacts/sync-stats 422",
        "INFO GET /nowhere%0Aforged%20line 404",
        "INFO GET /metrics 401",
        "DEBUG GET /health 200",
    ]
    assert BEARER["Authorization"] not in caplog.text


def test_the_log_shows_the_beginning_of_a_long_path_without_the_part_that_was_cut(
    api: Client, caplog: pytest.LogCaptureFixture
) -> None:
    requested = [
        "/" + "a" * (LONGEST_PATH - 1),
        "/" + "a" * LONGEST_PATH,
        "/v1/" + "%40" * 10_000,
        "/v1/" + "a/" * (LONGEST_PATH // 2 - 8) + "ann.lee%40example.com",
    ]
    with caplog.at_level(logging.DEBUG, "crm_pipeline.api"):
        for count, path in enumerate(requested, 1):
            api.get(path)
            wait_for(lambda count=count: len(caplog.records) == count, 5)  # type: ignore[misc]
    assert [record.getMessage().split()[1] for record in caplog.records] == [
        requested[0],
        "/…",
        "/v1/…",
        "/v1/" + "a/" * (LONGEST_PATH // 2 - 8) + "…",
    ]
