"""What stands in docker-compose.yml and deploy/ agrees with the program and with each other."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from crm_pipeline.settings import LONGEST_BATCH_SECONDS
from crm_pipeline_tests.test_documents import variables
from crm_pipeline_tests.test_site import parse

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SERVICES = ("code", "webserver", "daemon", "api")
OTHERS_VARIABLES = {
    "DAGSTER_HOME",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "TINI_KILL_PROCESS_GROUP",  # tini, which docker's `init: true` brings
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_DB",
    "CODE_HOST",  # the Blueprint's own, for its commands
}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


COMPOSE = load(ROOT / "docker-compose.yml")
RENDER = load(DEPLOY / "render.yaml")
HELM = load(DEPLOY / "helm" / "values.yaml")
API = list(yaml.safe_load_all((DEPLOY / "helm" / "api.yaml").read_text(encoding="utf-8")))
DAGSTER = load(ROOT / "dagster.yaml")


class _Once(dict[str, str]):
    """A section of a unit: a key that comes again, as Environment may, adds a line."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and key in self and isinstance(self[key], list):
            self[key].extend(value)  # type: ignore[attr-defined]
        else:
            super().__setitem__(key, value)


def unit(path: Path) -> RawConfigParser:
    parser = RawConfigParser(dict_type=_Once, strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text(encoding="utf-8"))
    return parser


def service_unit(name: str) -> RawConfigParser:
    return unit(DEPLOY / "systemd" / f"crm-pipeline-{name}.service")


def rendered(name: str) -> dict[str, Any]:
    (service,) = [service for service in RENDER["services"] if service["name"] == f"crm-pipeline-{name}"]
    return dict(service)


def commands_of(name: str) -> dict[str, list[str]]:
    """How each deployment starts this service: its words, without paths and wrappers."""
    found = {"systemd": service_unit(name)["Service"]["ExecStart"], "render": rendered(name)["dockerCommand"]}
    if name in COMPOSE["services"]:
        found["compose"] = COMPOSE["services"][name]["command"]
    words = {where: shlex.split(command) for where, command in found.items()}
    for where, command in words.items():
        if command[:2] == ["sh", "-c"]:
            command = shlex.split(command[2].partition("exec ")[2])
        words[where] = command[2:] if command[:2] == ["timeout", "0"] else command
    if name == "code":
        deployment = HELM["dagster-user-deployments"]["deployments"][0]
        chart = ["dagster", "api", "grpc", "--host", "0.0.0.0", "--port", str(deployment["port"])]
        words["helm"] = [*chart, *deployment["dagsterApiGrpcArgs"]]
    if name == "api":
        words["helm"] = API[0]["spec"]["template"]["spec"]["containers"][0]["command"]
    return {where: [Path(command[0]).name, *command[1:]] for where, command in words.items()}


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def seconds(value: str) -> int:
    return int(value.removesuffix("s"))


def named_variables(node: Any) -> Iterator[str]:
    """Names in Render's, Kubernetes' and Compose's lists and mappings of variables, at whatever depth."""
    if isinstance(node, list):
        for one in node:
            yield from named_variables(one)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("env", "envVars") and isinstance(value, list):
                yield from (variable.get("name") or variable.get("key") for variable in value)
            elif key == "environment":
                yield from value
            elif key == "envVarKey":
                yield value
            else:
                yield from named_variables(value)


def test_every_variable_that_a_deployment_sets_is_known() -> None:
    named = {name for document in (COMPOSE, RENDER, HELM, API) for name in named_variables(document)}
    for path in UNITS:
        named |= set(re.findall(r"(?<=[ =])([A-Z][A-Z_]+)=", unit(path)["Service"]["Environment"].replace("\n", " ")))
        named |= {word.partition("=")[0] for word in unit(path)["Service"]["Environment"].split()}
    for path in (ROOT / "Dockerfile", DEPLOY / "helm" / "Dockerfile"):
        lines = re.findall(r"^ENV (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        named |= {word.partition("=")[0] for line in lines for word in line.split()}
    secrets = set(re.findall(r"--from-literal=([A-Z_]+)=", (DEPLOY / "helm" / "values.yaml").read_text("utf-8")))
    assert {"DATABASE_URL", "BREVO_API_KEY"} <= secrets
    assert {"DATABASE_URL", "DAGSTER_HOME", "CRM_PIPELINE_ENV_FILE", "BREVO_API_KEY"} <= named
    assert (named | secrets) - variables() - OTHERS_VARIABLES == set()


@pytest.mark.parametrize("name", SERVICES)
def test_all_deployments_start_a_service_by_the_same_program(name: str) -> None:
    found = commands_of(name)
    words = {tuple(word for word in command if not word.startswith("-"))[:2] for command in found.values()}
    programs = {command[0] for command in found.values()}
    assert len(programs) == 1, found
    entry_points = {script.name for script in importlib.metadata.entry_points(group="console_scripts")}
    assert programs <= entry_points
    assert {program for program, *_ in words} == programs


@pytest.mark.parametrize("name", SERVICES)
def test_all_deployments_give_a_service_the_same_options_but_for_where_the_code_is(name: str) -> None:
    where_the_code_is = {"--workspace", "--grpc-host", "--grpc-port"}
    by_settings = {"--host", "--port"} if name == "api" else set()
    found = {
        where: {word for word in command if word.startswith("--")} - where_the_code_is - by_settings
        for where, command in commands_of(name).items()
    }
    assert len({frozenset(options) for options in found.values()}) == 1, found


def test_the_commands_of_the_program_itself_are_such() -> None:
    for command in commands_of("api").values():
        parse(shlex.join(command[1:]))
    migrations = [rendered("code")["preDeployCommand"], rendered("api")["preDeployCommand"]]
    migrations.append(COMPOSE["services"]["upgrade"]["command"])
    job = HELM["extraManifests"][0]["spec"]["template"]["spec"]["containers"][0]
    migrations.append(shlex.join(job["command"]))
    assert set(migrations) == {"crm-pipeline db upgrade"}
    parse("db upgrade")


def test_every_deployment_loads_the_module_of_the_checkouts_workspace() -> None:
    module = load(ROOT / "workspace.yaml")["load_from"][0]["python_module"]["module_name"]
    assert importlib.util.find_spec(module) is not None
    assert {option(command, "--module-name") for command in commands_of("code").values()} == {module}


def test_the_code_is_looked_for_where_it_listens() -> None:
    ports = {option(command, "--port") for command in commands_of("code").values()}
    for workspace in (DEPLOY / "workspace.yaml", DEPLOY / "systemd" / "workspace.yaml"):
        server = load(workspace)["load_from"][0]["grpc_server"]
        assert (
            server["location_name"] == load(ROOT / "workspace.yaml")["load_from"][0]["python_module"]["location_name"]
        )
        ports.add(str(server["port"]))
    for name in ("webserver", "daemon"):
        ports.add(option(commands_of(name)["render"], "--grpc-port"))
        assert option(commands_of(name)["render"], "--grpc-host") == "$CODE_HOST"
        (host,) = [variable for variable in rendered(name)["envVars"] if variable["key"] == "CODE_HOST"]
        assert host["fromService"] == {"type": "pserv", "name": "crm-pipeline-code", "property": "host"}
        assert Path(option(commands_of(name)["systemd"], "--workspace")).relative_to(
            "/opt/crm-pipeline"
        ).as_posix() == ("deploy/systemd/workspace.yaml")
    assert len(ports) == 1
    assert load(DEPLOY / "workspace.yaml")["load_from"][0]["grpc_server"]["host"] in COMPOSE["services"]


def test_of_the_composed_services_each_is_watched_and_none_is_open_to_other_machines() -> None:
    for name, service in COMPOSE["services"].items():
        assert name == "upgrade" or "healthcheck" in service, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert name == "postgres" or (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name


def test_dagsters_own_processes_have_no_key_and_none_of_the_applications_data() -> None:
    for name in ("webserver", "daemon"):
        assert list(COMPOSE["services"][name]["environment"]) == ["DAGSTER_DATABASE_URL"]
        assert "env_file" not in COMPOSE["services"][name]


def test_a_stop_waits_longer_than_the_longest_batch() -> None:
    waits = {
        "compose": seconds(COMPOSE["services"]["code"]["stop_grace_period"]),
        "systemd": seconds(service_unit("code")["Service"]["TimeoutStopSec"]),
        "render": rendered("code")["maxShutdownDelaySeconds"],
        "helm": HELM["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]["podSpecConfig"][
            "terminationGracePeriodSeconds"
        ],
    }
    assert {where: wait for where, wait in waits.items() if wait <= LONGEST_BATCH_SECONDS} == {}


def test_a_stop_reaches_the_runs_which_are_children_of_the_code_server() -> None:
    assert service_unit("code")["Service"]["KillMode"] == "control-group"
    assert service_unit("code")["Service"]["KillSignal"] == "SIGTERM"
    assert COMPOSE["services"]["code"]["init"] is True
    assert COMPOSE["services"]["code"]["environment"]["TINI_KILL_PROCESS_GROUP"] == "1"
    assert shlex.split(rendered("code")["dockerCommand"])[2].partition("exec ")[2].startswith("timeout 0 ")
    assert HELM["runLauncher"]["type"] == "K8sRunLauncher"  # there each run is a pod, which is told by itself


def test_a_stop_of_everything_waits_until_everything_has_stopped() -> None:
    # What starts after the target stops before it. In any other order the stop of the target is over at once.
    for name in SERVICES:
        assert "crm-pipeline.target" in service_unit(name)["Unit"]["After"].split(), name


def test_the_code_counts_as_started_when_it_answers() -> None:
    server, start = commands_of("code")["systemd"], service_unit("code")["Service"]["ExecStartPost"]
    assert f"/dagster api grpc-health-check --port {option(server, '--port')} " in start
    for name in ("webserver", "daemon"):
        assert "crm-pipeline-code.service" in service_unit(name)["Unit"]["After"].split(), name


@pytest.mark.parametrize(("answers", "status"), [("true", 0), ("false", 1)])
def test_a_start_of_code_that_ends_before_it_answers_has_failed(answers: str, status: int) -> None:
    shell, flag, script = shlex.split(service_unit("code")["Service"]["ExecStartPost"])
    check = script.removeprefix("until ").partition(" >")[0]
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    waiting = [shell, flag, script.replace(check, answers).replace("$$", "$")]  # `$$` is systemd's way to write `$`
    assert subprocess.run(waiting, env=os.environ | {"MAINPID": str(ended.pid)}, timeout=10).returncode == status


@pytest.mark.parametrize("name", ["code", "webserver", "daemon"])
@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_renders_commands_give_dagster_an_address_that_it_takes(name: str, scheme: str) -> None:
    shell, flag, script = shlex.split(rendered(name)["dockerCommand"])
    before, exec_, _ = script.partition("exec ")
    address = {"DAGSTER_DATABASE_URL": f"{scheme}://user:p%40ss@host:5432/dagster"}
    printed = subprocess.run(
        [shell, flag, f"{before}{exec_}printenv DAGSTER_DATABASE_URL"],
        env=os.environ | address,
        capture_output=True,
        check=True,
        text=True,
    )
    assert printed.stdout == "postgresql://user:p%40ss@host:5432/dagster\n"


@pytest.mark.skipif(sys.platform != "linux", reason="what coreutils' timeout does in the image")
def test_timeout_passes_a_stop_on_to_the_grandchildren_and_waits_for_their_parent() -> None:
    grandchild = "import signal; signal.signal(15, lambda *_: exit(0)); print('ready', flush=True); signal.pause()"
    child = (
        "import signal, subprocess, sys; signal.signal(15, lambda *_: None); "
        f"print('ended', subprocess.call([sys.executable, '-c', {grandchild!r}]), flush=True)"
    )
    with subprocess.Popen(["timeout", "0", sys.executable, "-c", child], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "ended 0\n"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_every_unit_is_an_ordinary_users_with_nothing_to_gain(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["User"] == service["Group"] == "crm"
    assert service["NoNewPrivileges"] == service["ProtectHome"] == service["PrivateTmp"] == "true"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["Restart"] == "always"
    assert unit(path)["Unit"]["PartOf"] == unit(path)["Install"]["WantedBy"] == "crm-pipeline.target"
    assert (DEPLOY / "systemd" / "crm-pipeline.target").is_file()


def test_there_is_a_unit_for_each_process() -> None:
    assert [path.stem for path in UNITS] == sorted(f"crm-pipeline-{name}" for name in SERVICES)


def test_what_must_be_one_is_one() -> None:
    assert rendered("daemon")["numInstances"] == 1
    assert rendered("daemon")["disk"]["sizeGB"] == 1  # without one, two run side by side at each deploy
    assert rendered("code")["numInstances"] == 1  # a run is stopped through the server that started it
    assert "deploy" not in COMPOSE["services"]["daemon"]


def test_the_dagster_ui_which_has_no_login_is_on_no_public_address() -> None:
    assert option(commands_of("webserver")["systemd"], "--host") == "127.0.0.1"
    assert COMPOSE["services"]["webserver"]["ports"] == ["127.0.0.1:3000:3000"]
    assert rendered("webserver")["type"] == "pserv"
    assert "ingress" not in HELM


def test_the_charts_values_say_the_same_as_dagster_yaml() -> None:
    daemon, runs = HELM["dagsterDaemon"], DAGSTER["concurrency"]["runs"]
    queue = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert queue["dequeueIntervalSeconds"] == DAGSTER["run_queue"]["dequeue_interval_seconds"]
    assert queue["maxConcurrentRuns"] == runs["max_concurrent_runs"]
    assert queue["tagConcurrencyLimits"] == runs["tag_concurrency_limits"]
    monitoring = DAGSTER["run_monitoring"]
    assert daemon["runMonitoring"]["enabled"] is monitoring["enabled"]
    assert daemon["runMonitoring"]["pollIntervalSeconds"] == monitoring["poll_interval_seconds"]
    assert daemon["runMonitoring"]["startTimeoutSeconds"] >= monitoring["start_timeout_seconds"]
    for name in ("schedules", "sensors"):
        assert daemon[name] == {"useThreads": DAGSTER[name]["use_threads"], "numWorkers": DAGSTER[name]["num_workers"]}
    assert HELM["retention"]["schedule"]["purgeAfterDays"] == DAGSTER["retention"]["schedule"]["purge_after_days"]
    assert HELM["retention"]["sensor"]["purgeAfterDays"] == DAGSTER["retention"]["sensor"]["purge_after_days"]
    # The chart's own values differ from Dagster's here.
    assert daemon["runRetries"] == {"enabled": "run_retries" in DAGSTER}
    assert HELM["additionalInstanceConfig"] == {"nux": DAGSTER["nux"]}
    logs = DAGSTER["python_logs"]
    assert HELM["pythonLogs"]["managedPythonLoggers"] == logs["managed_python_loggers"]
    assert HELM["pythonLogs"]["pythonLogLevel"] == logs["python_log_level"]
    assert HELM["telemetry"]["enabled"] is DAGSTER["telemetry"]["enabled"]


def test_kubernetes_runs_one_image_as_the_user_that_it_has() -> None:
    (user,) = re.findall(r"--uid (\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    deployment = HELM["dagster-user-deployments"]["deployments"][0]
    pods = [HELM["extraManifests"][0]["spec"]["template"]["spec"], API[0]["spec"]["template"]["spec"]]
    users = {pod["securityContext"]["runAsUser"] for pod in pods} | {deployment["podSecurityContext"]["runAsUser"]}
    assert users == {int(user)}
    image = f"{deployment['image']['repository']}:{deployment['image']['tag']}"
    assert {pod["containers"][0]["image"] for pod in pods} == {image}
    assert deployment["image"]["tag"] == importlib.metadata.version("crm-pipeline")
    assert re.findall(r"^FROM (\S+)", (DEPLOY / "helm" / "Dockerfile").read_text("utf-8"), re.MULTILINE) == [
        COMPOSE["services"]["code"]["image"]
    ]


def test_kubernetes_gives_no_pod_of_ours_more_than_it_needs() -> None:
    deployment = HELM["dagster-user-deployments"]["deployments"][0]
    run = HELM["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    pods = [HELM["extraManifests"][0]["spec"]["template"]["spec"], API[0]["spec"]["template"]["spec"]]
    containers = [deployment, run["containerConfig"], *(pod["containers"][0] for pod in pods)]
    least = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert [container["securityContext"] for container in containers] == [least] * len(containers)
    assert run["podSpecConfig"]["securityContext"] == deployment["podSecurityContext"]


def test_kubernetes_has_one_place_for_the_resources_of_a_run() -> None:
    # The launcher lets those of the code location win over its own.
    assert HELM["dagster-user-deployments"]["deployments"][0]["includeConfigInLaunchedRuns"] == {"enabled": True}
    assert "resources" not in HELM["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]["containerConfig"]


def test_the_chart_that_is_named_is_of_the_projects_dagster() -> None:
    (chart,) = re.findall(r"dagster/dagster --version (\S+)", (DEPLOY / "README.md").read_text(encoding="utf-8"))
    assert chart == importlib.metadata.version("dagster")


def test_the_image_for_kubernetes_takes_the_launcher_that_fits_the_projects_dagster() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (wanted,) = re.findall(r'"dagster-postgres(.*?)"', project)
    assert f"'dagster-k8s{wanted}'" in (DEPLOY / "helm" / "Dockerfile").read_text(encoding="utf-8")
    folder = HELM["global"]["dagsterHome"]
    assert f"mkdir -p {folder}/storage" in (DEPLOY / "helm" / "Dockerfile").read_text(encoding="utf-8")


def test_nothing_is_fetched_from_an_address_that_stands_here() -> None:
    found = [path.name for path in DEPLOY.rglob("*") if path.is_file() and re.search(r"https?://", path.read_text())]
    assert found == []
