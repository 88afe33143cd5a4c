"""What every CRM must be to the rest of the pipeline: its variables, its check, its names."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from crm_pipeline.crms.protocol import CrmSpec
from crm_pipeline.crms.registry import CRMS
from crm_pipeline.model import WELL, NewsKind
from crm_pipeline.sandbox.registry import SANDBOXES
from crm_pipeline_tests.conformance.trial import KEY, Trial, person


@pytest.fixture(params=sorted(CRMS))
def spec(request: pytest.FixtureRequest) -> CrmSpec:
    return CRMS[request.param]


def test_every_crm_has_a_sandbox_under_the_path_of_its_own_api(spec: CrmSpec) -> None:
    sandbox = SANDBOXES[spec.name]
    assert (sandbox.name, sandbox.title, sandbox.path) == (spec.name, spec.title, spec.sandbox_path)


def test_every_variable_of_a_crm_begins_with_its_name_and_is_read_by_its_settings(spec: CrmSpec) -> None:
    prefix = f"{spec.name.upper()}_"
    for variable in (spec.key_variable, spec.base_url_variable):
        assert variable.startswith(prefix)
        assert variable.removeprefix(prefix).lower() in spec.settings.model_fields
    assert spec.external_id_column.startswith(f"{spec.name}_")


def test_the_key_is_never_shown_and_the_default_address_is_encrypted(
    spec: CrmSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(spec.key_variable, KEY)
    settings = spec.settings(_env_prefix=f"{spec.name.upper()}_")  # type: ignore[call-arg]
    assert KEY not in f"{settings!r} {settings}"
    assert any(isinstance(value, SecretStr) for value in dict(settings).values())
    url = getattr(settings, spec.base_url_variable.removeprefix(f"{spec.name.upper()}_").lower())
    assert url is None or url.startswith("https://")


def test_the_accounts_rate_is_a_number_of_requests_per_second(spec: CrmSpec) -> None:
    assert 0 < spec.account_requests_per_second <= 2000


def test_connecting_makes_no_request(trial: Trial) -> None:
    assert trial.account.received_count == 0
    again = trial.spec.connect(_settings(trial), 1)
    again.close()
    assert trial.account.received_count == 0


def test_a_usable_account_passes_its_check_and_is_a_sandbox(trial: Trial) -> None:
    result = trial.crm.check()
    assert (result.news, result.warnings, result.sandbox) == (WELL, (), True)
    assert trial.account.contacts() == [], "a check stores nothing"
    assert trial.account.received_count == 0, "and pushes nothing"


def test_a_wrong_key_fails_the_check_and_names_its_variable(trial: Trial) -> None:
    trial.account.api_key = "another-key"
    result = trial.crm.check()
    assert result.news.kind is NewsKind.CLOSED
    assert trial.spec.key_variable in str(result.news.sentence)
    assert KEY not in repr(result)
    assert result.sandbox


def test_an_address_without_the_api_fails_the_check_and_names_its_variable(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trial.spec.base_url_variable, trial.account.url + "/nowhere")
    crm = trial.spec.connect(_settings(trial), 1)
    result = crm.check()
    crm.close()
    assert result.news.kind is NewsKind.CLOSED
    assert trial.spec.base_url_variable in str(result.news.sentence)


def test_a_server_that_does_not_answer_fails_the_check_as_unavailable(trial: Trial) -> None:
    trial.account.faults.latency_seconds = 5
    assert trial.crm.check().news.kind is NewsKind.UNAVAILABLE


def test_the_target_is_the_host_that_contacts_are_synced_to(trial: Trial) -> None:
    assert trial.crm.target == urlsplit(trial.account.url).netloc


def test_the_identity_changes_with_the_key_and_hides_it(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trial.spec.key_variable, KEY + "-2")
    other = trial.spec.connect(_settings(trial), 1)
    other.close()
    assert other.identity != trial.crm.identity
    assert KEY not in other.identity + trial.crm.identity


def test_closing_twice_does_no_harm(trial: Trial) -> None:
    trial.push(person("ann"))
    trial.crm.close()
    trial.crm.close()


def _settings(trial: Trial) -> object:
    return trial.spec.settings(_env_prefix=f"{trial.spec.name.upper()}_")  # type: ignore[call-arg]
