"""What DuckDB says of a file is the operating system's error again."""

from __future__ import annotations

import errno
import os
import subprocess

import duckdb
import pytest

from harness.records.parquet import system_errors


def test_a_folder_that_is_absent_keeps_its_number(tmp_path):
    """Whatever DuckDB puts around it."""
    path = tmp_path / "absent" / "rows.parquet"
    with pytest.raises(OSError, match=r"rows\.parquet") as raised, system_errors(path):
        duckdb.sql(f"COPY (SELECT 1) TO '{path}' (FORMAT parquet)")
    assert raised.value.errno == errno.ENOENT


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_known_as_one(tmp_path):
    """Where a part was written before it was full, DuckDB wraps the system's words once more."""
    path = tmp_path / "rows.parquet"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        with pytest.raises(OSError, match=r"rows\.parquet") as raised, system_errors(path):
            duckdb.sql(f"COPY (SELECT random() FROM range(200000)) TO '{path}' (FORMAT parquet)")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert raised.value.errno == errno.ENOSPC


def test_what_is_not_recognised_keeps_its_words(tmp_path):
    """As an input/output error."""
    with pytest.raises(OSError, match="the moon") as raised, system_errors(tmp_path):
        raise duckdb.IOException("the moon was in the way")
    assert raised.value.errno == errno.EIO


def test_other_errors_pass(tmp_path):
    """A fault in the query is ours."""
    with pytest.raises(duckdb.BinderException), system_errors(tmp_path):
        duckdb.sql("SELECT absent")
