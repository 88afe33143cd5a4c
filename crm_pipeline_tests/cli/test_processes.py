"""The folder of a trial's data, and what an earlier start left running."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from crm_pipeline.cli.processes import REGISTER, the_only_one
from crm_pipeline.errors import UsageError


def test_a_folder_of_data_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"/file/data cannot be used: Not a directory\. CRM_PIPELINE_DATA_DIR names"):
        the_only_one(tmp_path / "file" / "data").__enter__()
    (tmp_path / "running.lock").mkdir()
    with pytest.raises(UsageError, match="cannot be used: Is a directory"):
        the_only_one(tmp_path).__enter__()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of somebody else's, with a group of its own."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("days_before_its_start", [2, 20_000])
def test_a_number_that_belongs_to_another_by_now_is_left_alone(
    tmp_path: Path, stranger: subprocess.Popen[bytes], days_before_its_start: float
) -> None:
    noted = psutil.Process(stranger.pid).create_time() - days_before_its_start * 86_400
    (tmp_path / REGISTER).write_text(json.dumps({stranger.pid: noted}))
    with the_only_one(tmp_path):
        assert stranger.poll() is None
    assert not (tmp_path / REGISTER).exists()


def test_a_leftover_is_ended(tmp_path: Path, stranger: subprocess.Popen[bytes]) -> None:
    (tmp_path / REGISTER).write_text(json.dumps({stranger.pid: psutil.Process(stranger.pid).create_time()}))
    with the_only_one(tmp_path):
        assert stranger.wait(10) == -signal.SIGTERM


def test_a_torn_register_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / REGISTER).write_text("")
    with the_only_one(tmp_path):
        pass
    assert not (tmp_path / REGISTER).exists()
