"""The workflows and the scripts that their steps run, run here."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tools" / "ci"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
QUICK = ("device=cpu", "power=none", "measure=quick", "measure.seconds=0.05", "measure.warmup_s=0")


@pytest.fixture
def script(tmp_path: Path):
    """Return a function that runs one of the scripts in an empty folder, with more in front of the path."""

    def run(name: str, *arguments: str, path: Path | None = None, **variables: str):
        folders = [str(path)] * (path is not None) + [str(Path(sys.executable).parent), os.environ["PATH"]]
        # Where the package is installed from a checkout the command need not be on the path.
        own = tmp_path / "bin"
        if not own.exists():
            own.mkdir()
            command = own / "joulemark"
            command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness.cli "$@"\n')
            command.chmod(0o755)
        return subprocess.run(
            ["bash", str(SCRIPTS / name), *arguments],
            cwd=tmp_path,
            # The locks of devices stand in the temporary folder: this waits for no sweep but its own.
            env={
                **os.environ,
                "TMPDIR": str(tmp_path),
                "PATH": os.pathsep.join([*folders[:1], str(own), *folders[1:]]),
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=200,
        )

    return run


def test_the_matrix_has_an_entry_a_workload(script) -> None:
    """It is what `fromJSON` takes; refused trials are not in it."""
    done = script("matrix.sh", "workload=noop,spin", "precision=fp32,bf16", "device=cpu")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "include": [{"workload": "noop", "trials": 1}, {"workload": "spin", "trials": 1}]
    }


def test_a_device_that_is_not_there_fails_with_the_reason(script, tmp_path: Path) -> None:
    """The doctor's findings are kept either way."""
    assert script("detect.sh", "cpu", "out").returncode == 0
    done = script("detect.sh", "abacus", "out")
    assert done.returncode == 1
    assert "no working abacus device on this runner: no such kind" in done.stderr
    assert json.loads((tmp_path / "out" / "doctor.json").read_text())["checks"]


@pytest.mark.parametrize(("processes", "code"), [("", 0), ("4242, python", 1)])
def test_a_co_tenant_ends_the_job(script, tmp_path: Path, processes: str, code: int) -> None:
    """Another process on the GPU fails it, and is named."""
    smi = tmp_path / "fake" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(f"#!/bin/sh\n[ -z '{processes}' ] || echo '{processes}'\n")
    smi.chmod(0o755)
    done = script("cotenants.sh", "0", path=smi.parent)
    assert done.returncode == code
    assert processes in done.stdout


def test_a_night_is_measured_bundled_collected_and_judged(script, tmp_path: Path) -> None:
    """Two jobs, one with a trial that crashes: its bundle is there too, and the summary tells both."""
    good = script("measure.sh", "nightly-1", "a/bundle.tar", "workload=noop", "run.results=results", *QUICK)
    assert good.returncode == 0, good.stderr
    (tmp_path / "results").rename(tmp_path / "first")
    bad = script(
        "measure.sh", "nightly-1", "b/bundle.tar", "workload=faults", "workload.shape.fault=raise", *QUICK
    )
    assert bad.returncode == 1
    policy = tmp_path / "gate.yaml"
    policy.write_text(
        "nights: nightly-*\nmetrics: [{metric: iteration.mean, trials: 'noop *', required: true}]\n"
    )
    done = script(
        "collect.sh", "nightly-1", "history", "gate.yaml", "out", "a/bundle.tar", "b/bundle.tar",
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"),
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    verdict = json.loads((tmp_path / "out" / "gate.json").read_text())
    assert verdict["counts"] == {"insufficient_data": 1}
    suite = ET.parse(tmp_path / "out" / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("errors")) == ("2", "1")
    summary = (tmp_path / "summary.md").read_text()
    assert "## Gate of nightly-1" in summary
    assert "1 measured, 1 failed" in summary
    assert {p.name for p in (tmp_path / "out").glob("github-action-benchmark-*")} == {
        "github-action-benchmark-bigger-is-better.json",
        "github-action-benchmark-smaller-is-better.json",
    }


def test_a_bundle_that_was_changed_ends_the_collection(script, tmp_path: Path) -> None:
    """Nothing of it reaches the history."""
    (tmp_path / "bad.tar").write_bytes(b"x" * 2048)
    done = script("collect.sh", "nightly-1", "history", "gate.yaml", "out", "bad.tar")
    assert done.returncode == 2
    assert "bad.tar: not a bundle" in done.stderr
    assert not (tmp_path / "history").exists()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_a_workflow_is_sound(path: Path) -> None:
    """Least rights, a limit on every job, artifacts whatever happens, scripts that are there and executable.

    Not a substitute for actionlint, which found both sound; it needs a binary that is not on every machine.
    """
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert set(workflow) >= {"name", True, "jobs"}, "YAML reads the key `on` as true"
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] > 0
        if "strategy" in job:
            assert job["strategy"]["fail-fast"] is False
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(workflow["jobs"])
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            if step.get("uses", "").startswith("actions/upload-artifact"):
                assert step["if"] == "always()"
            for name in re.findall(r"tools/ci/(\S+\.sh)", step.get("run", "")):
                assert (SCRIPTS / name).stat().st_mode & stat.S_IXUSR
            assert "${{" not in step.get("run", ""), "a run step takes values from the environment alone"


def test_the_nightly_matrix_comes_from_the_plan_and_runs_on_a_gpu() -> None:
    """Runners are found by label, and the last job runs whatever became of the others."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())["jobs"]
    assert jobs["measure"]["strategy"]["matrix"] == "${{ fromJSON(needs.plan.outputs.matrix) }}"
    assert jobs["measure"]["runs-on"] == ["self-hosted", "gpu"]
    assert jobs["collect"]["if"].startswith("always()")


def test_the_nightly_policy_is_one() -> None:
    """The gate reads it."""
    from harness.gate.policy import read_policy

    assert read_policy(ROOT / ".github" / "gate.yaml").nights == "nightly-*"
