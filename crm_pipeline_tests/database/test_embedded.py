"""The embedded PostgreSQL of a trial."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.errors import UsageError

START_AND_STOP = """
import sys
from pathlib import Path
from crm_pipeline.database.embedded import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1])).start()
print(postgres.url().database)
postgres.stop()
"""


def test_it_starts_beside_another_users_whose_lock_it_may_not_open(tmp_path: Path) -> None:
    (tmp_path / "temporary" / ".lockfile").mkdir(parents=True)  # nobody can open it, root neither
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    environment.pop("XDG_RUNTIME_DIR", None)
    tmp_path.chmod(0o755)
    ran = subprocess.run(
        [sys.executable, "-c", START_AND_STOP, str(tmp_path / "data")], env=environment, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "crm_pipeline"), ran.stderr


def test_to_stop_one_that_was_killed_is_no_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    kill = "import os; os.kill(int((postgres.folder / 'postmaster.pid').read_text().split()[0]), 9)"
    script = START_AND_STOP.replace("postgres.stop()", f"{kill}\npostgres.stop()")
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path / "data")], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, "crm_pipeline"), ran.stderr


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=20 << 20)
    monkeypatch.setattr("crm_pipeline.database.embedded.shutil.disk_usage", lambda _: usage)
    with pytest.raises(UsageError, match=r"20 MB are free in .*, and the embedded PostgreSQL needs 300"):
        EmbeddedPostgres(tmp_path / "data").start()
    assert list((tmp_path / "data").iterdir()) == []
