"""The folder of a trial's data."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.cli.processes import the_only_one
from crm_pipeline.errors import UsageError


def test_a_folder_of_data_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"/file/data cannot be used: Not a directory\. CRM_PIPELINE_DATA_DIR names"):
        the_only_one(tmp_path / "file" / "data").__enter__()
    (tmp_path / "running.lock").mkdir()
    with pytest.raises(UsageError, match="cannot be used: Is a directory"):
        the_only_one(tmp_path).__enter__()
