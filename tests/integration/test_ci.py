"""The workflows and the scripts that their steps run, run here."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from harness.gate.floor import read_floors
from harness.records.metrics import make
from harness.records.schema import Record, WorkerFacts
from harness.records.store import open_store

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
    outputs = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert json.loads(outputs["matrix"]) == {
        "include": [{"workload": "noop", "trials": 1}, {"workload": "spin", "trials": 1}]
    }
    assert re.fullmatch(r"nightly-\d{8}", outputs["night"])


def test_a_matrix_without_an_entry_fails_with_the_reasons(script) -> None:
    """A plan for a device that this machine has not: no output is left that `fromJSON` would take."""
    done = script("matrix.sh", "workload=noop", "device=cuda", "device.index=63")
    assert done.returncode == 2
    assert "refused: device cuda:63 is not available" in done.stderr
    assert done.stdout == ""


def test_the_setup_installs_the_checkout_and_tells_its_path(script, tmp_path: Path) -> None:
    """What it asks of pip, and the folder that the steps after it find commands in."""
    python = tmp_path / "fake" / "python3"
    python.parent.mkdir()
    python.write_text(
        "#!/bin/sh\nmkdir -p .venv/bin\n"
        "printf '#!/bin/sh\\necho \"pip $*\" >> asked\\n' > .venv/bin/pip\nchmod +x .venv/bin/pip\n"
        'echo "python $*" >> asked\n'
    )
    python.chmod(0o755)
    done = script("setup.sh", path=python.parent, GITHUB_PATH=str(tmp_path / "path"))
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["python -m venv .venv", "pip install -c constraints.txt -e ."]
    assert (tmp_path / "path").read_text().strip() == str(tmp_path / ".venv" / "bin")


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
    for part in ("a", "b"):
        (tmp_path / "parts" / part).mkdir(parents=True)
        (tmp_path / part / "bundle.tar").rename(tmp_path / "parts" / part / "bundle.tar")
    (tmp_path / "floors.json").write_text('{"floors": []}')
    done = script(
        "collect.sh", "nightly-1", "history", "gate.yaml", "out", "parts",
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"), FLOORS="floors.json",
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
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "bundle.tar").write_bytes(b"x" * 2048)
    done = script("collect.sh", "nightly-1", "history", "gate.yaml", "out", "parts")
    assert done.returncode == 2
    assert "bundle.tar: not a bundle" in done.stderr
    assert not (tmp_path / "history").exists()


def test_a_night_of_which_nothing_came_is_told(script, tmp_path: Path) -> None:
    """No bundle in the folder: code 2, with the folder's name."""
    (tmp_path / "parts").mkdir()
    done = script("collect.sh", "nightly-1", "history", "gate.yaml", "out", "parts")
    assert done.returncode == 2
    assert "parts: no bundle.tar" in done.stderr


@pytest.mark.parametrize(("codes", "expected"), [((3, 4, 0), 0), ((0, 1, 0), 1)])
def test_the_weekly_job_leaves_floors_that_the_gate_takes(
    script, tmp_path: Path, codes: tuple[int, ...], expected: int
) -> None:
    """The verdicts of A/A sessions, 3 and 4 too, are counted; a session that failed ends the job."""
    for session, level in enumerate((1.0, 1.02, 1.04)):
        _write_session(tmp_path / "aa", f"aa-{session}", level)
    stub = tmp_path / "stub" / "joulemark"
    stub.parent.mkdir()
    cases = " ".join(f"{i}) exit {code} ;;" for i, code in enumerate(codes, 1))
    stub.write_text(
        f'#!/bin/sh\n[ "$1" = ab ] || exec {tmp_path}/bin/joulemark "$@"\necho "$@" >> asked\n'
        f"case $(wc -l < asked) in {cases} esac\n"
    )
    stub.chmod(0o755)
    (tmp_path / "gate.yaml").write_text("metrics: [{metric: iteration.mean}]\n")
    done = script(
        "noise_floor.sh", "3", "aa", "gate.yaml", "workload=spin", path=stub.parent,
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"),
    )  # fmt: skip
    assert done.returncode == expected, done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert re.fullmatch(r"ab   workload=spin --name aa-\d{6}-1 run.results=aa", asked[0])
    if expected:
        assert len(asked) == 2
        return
    ((series, floor),) = read_floors(tmp_path / "aa" / "floors.json").items()
    assert series == ("spin tiny infer fp32", "iteration.mean", "c" * 32)
    assert floor == pytest.approx(0.0196, rel=0.01)
    assert "0 of 3 A/A sessions claimed a difference" in done.stdout
    assert (tmp_path / "summary.md").read_text().endswith("false positives: 0.0%\n")


def _write_session(results: Path, name: str, level: float) -> None:
    """Write six pairs of processes around one level."""
    store = open_store(results)
    for side, sign in (("base", 1), ("head", -1)):
        for replica in range(6):
            value = level * (1 + sign * 1e-3 * (replica - 2.5))
            store.write(
                Record(
                    sweep=f"{name}-{side}",
                    label="spin tiny infer fp32",
                    work_id="a" * 32,
                    trial_id="b" * 32,
                    machine_id="c" * 32,
                    code_id="d" * 32,
                    replica=replica,
                    attempt=0,
                    status="ok",
                    phase="done",
                    started_at="2026-01-01T00:00:00Z",
                    config={},
                    machine={},
                    code={},
                    metrics=(make("iteration.mean", value),),
                    worker=WorkerFacts(kind="warm"),
                )
            )


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.sh")), ids=lambda p: p.stem)
def test_a_script_is_sound(path: Path) -> None:
    """It parses, stops at the first failure, says how it is called, and shellcheck has nothing to say."""
    text = path.read_text()
    assert text.startswith("#!/usr/bin/env bash\n#")
    assert f"# usage: {path.name}" in text
    assert "\nset -euo pipefail\n" in text
    assert path.stat().st_mode & stat.S_IXUSR
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    if checker := shutil.which("shellcheck"):
        done = subprocess.run(
            [checker, "-S", "style", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_a_workflow_is_sound(path: Path) -> None:
    """Least rights, a limit on every job, actions pinned to a commit, artifacts whatever happens."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert set(workflow) >= {"name", True, "jobs"}, "YAML reads the key `on` as true"
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] > 0
        if "strategy" in job:
            assert job["strategy"]["fail-fast"] is False
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            if step.get("uses", "").startswith("actions/upload-artifact"):
                assert step["if"] == "always()"
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", step["uses"])
                assert re.search(rf"{step['uses']} # v\d+\.\d+\.\d+\n", path.read_text())
            for name in re.findall(r"tools/ci/(\S+)", step.get("run", "")):
                assert (SCRIPTS / name).is_file()
            assert "\n" not in step.get("run", "").strip(), "a step is a script that also runs by hand"
            assert "${{" not in step.get("run", ""), "a run step takes values from the environment alone"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_expressions_name_what_is_there(path: Path) -> None:
    """Every `needs`, `steps`, `matrix` and `env` of an expression exists where the expression stands."""
    workflow = yaml.safe_load(path.read_text())
    jobs = workflow["jobs"]
    shared = {key: value for key, value in workflow.items() if key != "jobs"}
    assert not _unknown(shared, {"github"}), "outside jobs there is only the event"
    for job in jobs.values():
        needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
        assert set(needs) <= set(jobs)
        known = {"github"} | {f"env.{name}" for name in (*workflow.get("env", {}), *job.get("env", {}))}
        for name in needs:
            known |= {f"needs.{name}.result"} | {
                f"needs.{name}.outputs.{o}" for o in jobs[name].get("outputs", {})
            }
        matrix = job.get("strategy", {}).get("matrix", {})
        if isinstance(matrix, dict):
            known |= {f"matrix.{key}" for key in matrix}
        else:
            known.add("matrix.workload")  # what tools/ci/matrix.sh gives each entry
        known |= {
            f"steps.{s['id']}.outputs.{o}" for s in job["steps"] if "id" in s for o in ("matrix", "night")
        }
        assert not _unknown(job, known)


def _unknown(value: Any, known: set[str]) -> list[str]:
    """Return the names in the expressions of a piece of a workflow that are not known, or unbalanced text."""
    if isinstance(value, dict):
        conditions = [f"${{{{ {v} }}}}" for k, v in value.items() if k == "if" and "${{" not in str(v)]
        return [n for v in (*conditions, *value.values()) for n in _unknown(v, known)]
    if isinstance(value, list):
        return [n for v in value for n in _unknown(v, known)]
    text = str(value)
    found = re.findall(r"\$\{\{(.*?)\}\}", text)
    if text.count("${{") != len(found) or text.count("}}") != len(found):
        return [text]
    names = [
        n
        for e in found
        for n in re.findall(r"\b(?:github|needs|steps|matrix|env)\.[\w.-]+", re.sub(r"'[^']*'", "", e))
    ]
    return [n for n in names if n not in known and n.partition(".")[0] not in known]


@pytest.mark.parametrize(
    ("value", "unknown"),
    [
        ({"a": "${{ github.ref }} ${{ needs.plan.outputs.matrix }}"}, []),
        ({"if": "needs.plan.outputs.other == 'needs.x'"}, ["needs.plan.outputs.other"]),
        ([{"with": {"key": "${{ env.NIHGT }}"}}], ["env.NIHGT"]),
        ("${{ github.ref", ["${{ github.ref"]),
    ],
)
def test_the_check_of_expressions_finds_what_is_wrong(value: Any, unknown: list[str]) -> None:
    """A name that is not there, in a value or a condition, and a brace that is not closed."""
    assert _unknown(value, {"github", "needs.plan.outputs.matrix"}) == unknown


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_shellcheck_finds_nothing_in_a_step(path: Path) -> None:
    """The few words around a script are looked at as the script is."""
    jobs = yaml.safe_load(path.read_text())["jobs"]
    steps = "\n".join(step["run"] for job in jobs.values() for step in job["steps"] if "run" in step)
    done = subprocess.run(
        ["shellcheck", "-s", "bash", "-"], input=steps, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_actionlint_finds_nothing() -> None:
    """It reads both workflows; the label of our runners is in its configuration."""
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("actionlint is not installed")
    done = subprocess.run([actionlint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_nightly_matrix_comes_from_the_plan_and_runs_on_a_gpu() -> None:
    """Runners are found by label, and the last job runs whatever became of the others."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())["jobs"]
    assert jobs["measure"]["strategy"]["matrix"] == "${{ fromJSON(needs.plan.outputs.matrix) }}"
    for job in ("plan", "measure", "collect", "noise-floor"):
        assert jobs[job]["runs-on"] == ["self-hosted", "gpu"], "elsewhere every cell is refused"
    assert jobs["collect"]["if"].startswith("always()")


def test_a_release_is_published_after_its_artifacts_were_tested() -> None:
    """Only the publishing job may ask for an identity; it holds no secret, and takes what was tested."""
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    assert "secrets." not in text
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["if"] == "github.event_name == 'push'"
    assert any("check_dist.sh" in step.get("run", "") for step in jobs["build"]["steps"])
    assert not any("run" in step or "checkout" in step["uses"] for step in jobs["publish"]["steps"])


@pytest.mark.slow
def test_the_artifacts_measure_where_only_they_are_installed(tmp_path: Path) -> None:
    """Sdist and wheel are built, installed each in an environment of its own, and run a trial there."""
    done = subprocess.run(
        [str(SCRIPTS / "check_dist.sh"), str(tmp_path / "dist")],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable, "CHECK_SITE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("installed, planned and measured") == 2


def test_the_policies_are_sound() -> None:
    """The gate reads that of the nights, and that of the project's own benchmarks."""
    from harness.gate.policy import read_policy

    assert read_policy(ROOT / ".github" / "gate.yaml").nights == "nightly-*"
    assert read_policy(ROOT / "benchmarks" / "gate.yaml").nights == "pytest-*"
