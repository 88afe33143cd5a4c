"""Dagster's webserver and daemon as people run them: two processes, one PostgreSQL, asked through GraphQL."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from crm_pipeline_tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent.parent.parent
LOCATION = {"repositoryLocationName": "crm_pipeline", "repositoryName": "__repository__"}


class Dagster:
    """A running webserver and daemon with one code location."""

    def __init__(self, port: int, home: Path, start: Callable[..., subprocess.Popen[bytes]]) -> None:
        self.url = f"http://127.0.0.1:{port}/graphql"
        self.home = home
        self._start = start
        self.start_daemon()

    def start_daemon(self) -> None:
        """Start it, anew after `kill_daemon`."""
        self.daemon = self._start("daemon", "dagster-daemon", "run")

    def kill_daemon(self) -> list[int]:
        """SIGKILL at one blow to the daemon and to all that it started: code servers and runs. Their pids."""
        victims = [psutil.Process(self.daemon.pid), *psutil.Process(self.daemon.pid).children(recursive=True)]
        os.killpg(self.daemon.pid, signal.SIGKILL)
        self.daemon.wait()
        _, alive = psutil.wait_procs(victims, 10)
        assert not alive, "not of the daemon's process group"
        return [victim.pid for victim in victims]

    def ask(self, query: str, **variables: Any) -> Any:
        """`data` of a GraphQL answer."""
        answer = requests.post(self.url, json={"query": query, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def location(self) -> Any:
        """What became of loading the code location."""
        (entry,) = self.ask(
            """{workspaceOrError {... on Workspace {locationEntries {locationOrLoadError {
                __typename ... on PythonError {message errorChain {error {message}}}
                ... on RepositoryLocation {repositories {jobs {name}}}}}}}}"""
        )["workspaceOrError"]["locationEntries"]
        return entry["locationOrLoadError"]

    def launch(self, job: str) -> str:
        """Launch a run; its id."""
        selector = {**LOCATION, "jobName": job}
        answer = self.ask(
            """mutation($p: ExecutionParams!) {launchRun(executionParams: $p) {
                __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}""",
            p={"selector": selector, "runConfigData": {}},
        )["launchRun"]
        return str(answer["run"]["runId"])

    def run(self, run_id: str) -> Any:
        """status, startTime, endTime of a run."""
        return self.ask("query($id: ID!) {runOrError(runId: $id) {... on Run {status startTime endTime}}}", id=run_id)[
            "runOrError"
        ]

    def runs(self, job: str | None = None) -> list[Any]:
        """The job's runs, or all, newest first."""
        return list(
            self.ask(
                """query($f: RunsFilter!) {runsOrError(filter: $f) {... on Runs {results {
                    runId status creationTime startTime endTime tags {key value}}}}}""",
                f={"pipelineName": job} if job else {},
            )["runsOrError"]["results"]
        )

    def delete(self, run_id: str) -> None:
        """Forget a run."""
        query = "mutation($id: String!) {deleteRun(runId: $id) {__typename}}"
        answer = self.ask(query, id=run_id)["deleteRun"]
        assert answer["__typename"] == "DeletePipelineRunSuccess", answer

    def events(self, run_id: str) -> list[Any]:
        """Type and message of each event of a run."""
        return list(
            self.ask(
                """query($id: ID!) {logsForRun(runId: $id) {... on EventConnection {events {
                    __typename ... on MessageEvent {message timestamp stepKey level}}}}}""",
                id=run_id,
            )["logsForRun"]["events"]
        )

    def sensor_ticks(self, sensor: str) -> list[Any]:
        """Status and reason of a sensor's ticks, newest first."""
        return list(
            self.ask(
                """query($s: SensorSelector!) {sensorOrError(sensorSelector: $s) {... on Sensor {sensorState {
                    status ticks(limit: 20) {status skipReason timestamp runIds error {message}}}}}}""",
                s={**LOCATION, "sensorName": sensor},
            )["sensorOrError"]["sensorState"]["ticks"]
        )

    def schedule_ticks(self, schedule: str) -> list[Any]:
        """The same of a schedule."""
        return list(
            self.ask(
                """query($s: ScheduleSelector!) {scheduleOrError(scheduleSelector: $s) {... on Schedule {scheduleState {
                    status ticks(limit: 20) {status skipReason timestamp runIds error {message}}}}}}""",
                s={**LOCATION, "scheduleName": schedule},
            )["scheduleOrError"]["scheduleState"]["ticks"]
        )

    def instigators(self) -> dict[str, Any]:
        """id and status (RUNNING, STOPPED) of each schedule and sensor."""
        (repository,) = self.ask(
            """{repositoriesOrError {... on RepositoryConnection {nodes {
                schedules {name scheduleState {id status}} sensors {name sensorState {id status}}}}}}"""
        )["repositoriesOrError"]["nodes"]
        return {one["name"]: one["scheduleState"] for one in repository["schedules"]} | {
            one["name"]: one["sensorState"] for one in repository["sensors"]
        }

    def stop_sensor(self, sensor: str) -> None:
        """Switch it off, as in the UI."""
        self._switch("stopSensor", self.instigators()[sensor]["id"])

    def start_sensor(self, sensor: str) -> None:
        """Switch it on."""
        answer = self.ask(
            """mutation($s: SensorSelector!) {startSensor(sensorSelector: $s) {__typename}}""",
            s={**LOCATION, "sensorName": sensor},
        )["startSensor"]
        assert answer["__typename"] == "Sensor", answer

    def start_schedule(self, schedule: str) -> None:
        """Switch it on."""
        answer = self.ask(
            """mutation($s: ScheduleSelector!) {startSchedule(scheduleSelector: $s) {__typename}}""",
            s={**LOCATION, "scheduleName": schedule},
        )["startSchedule"]
        assert answer["__typename"] == "ScheduleStateResult", answer

    def stop_schedule(self, schedule: str) -> None:
        """Switch it off, as in the UI."""
        self._switch("stopRunningSchedule", self.instigators()[schedule]["id"])

    def _switch(self, mutation: str, state_id: str) -> None:
        answer = self.ask(f"mutation($id: String!) {{{mutation}(id: $id) {{__typename}}}}", id=state_id)[mutation]
        assert "Error" not in answer["__typename"], answer

    def run_process(self, run_id: str) -> psutil.Process:
        """The process that executes a run: its pid stands in the run's log."""
        started = next(
            event["message"] for event in self.events(run_id) if "Started process for run" in event["message"]
        )
        return psutil.Process(int(started.split("pid: ")[1].rstrip(").")))


@contextmanager
def running_dagster(home: Path, environment: Mapping[str, str]) -> Iterator[Dagster]:
    """Started with the project's own dagster.yaml and workspace.yaml; ready when the code location is loaded."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "dagster.yaml", home)
    port = _free_port()
    env = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    env |= {"DAGSTER_HOME": str(home), "CRM_PIPELINE_ENV_FILE": "", "PYTHONPATH": str(ROOT)} | dict(environment)
    scripts = Path(sys.executable).parent
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, *command: str) -> subprocess.Popen[bytes]:
        with (home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(scripts / command[0]), *command[1:], "-w", str(ROOT / "workspace.yaml")],
                env=env, cwd=home, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        processes.append(process)
        return process

    try:
        start("webserver", "dagster-webserver", "-h", "127.0.0.1", "-p", str(port))
        wait_for(lambda: _answers(port))
        dagster = Dagster(port, home, start)
        wait_for(dagster.location)
        yield dagster
    finally:
        for process in processes:
            _end(process)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/server_info", timeout=5).ok
    except requests.ConnectionError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole group: its workers would go on. A polite end is for the tests of `crm-pipeline dev` to see."""
    if process.returncode is None:  # killed and waited for: its number may be another's by now
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
