"""Everything that needs a GPU, in one command of at most 8 minutes: tests, qualification, a sweep, workloads.

    make gpu-check                       in .venv
    PYTHON=python3 make gpu-check        with a Python that has torch, without making .venv

It needs no network, no nvcc and no report packages. What was found comes back as one archive of records and
logs, also when a stage fails; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUDGET_S = 470.0
NEEDS = {
    "tests": ("pytest", "pytest_timeout", "torch"),
    "qualify": ("torch", "pydantic"),
    "sweep": ("torch", "hydra", "pydantic", "scipy", "rich"),
    "workloads": ("pytest", "pytest_timeout", "torch", "hydra", "pydantic"),
}
INSTRUMENT = ("instrument", "kernels", "passes")
"""Files of tests/gpu about the instrument; the others are about what it measures."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What became of one stage."""

    name: str
    exit_code: int | None
    """None when it did not run or did not end in time."""
    seconds: float
    reason: str | None = None


def stages(folder: Path) -> dict[str, tuple[float, list[str]]]:
    """Return by stage the most seconds it may take, and its command; results go below `folder`."""
    joulemark, results = [sys.executable, "-m", "harness.cli"], folder / "results"
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-v",
    ]  # a stage that is stopped tells how far it came
    instrument = [f"tests/gpu/test_{name}.py" for name in INSTRUMENT]
    others = ["tests/gpu", *(f"--ignore={path}" for path in instrument)]
    return {
        "tests": (80.0, [*pytest, *instrument, f"--junitxml={folder / 'tests.xml'}"]),
        "qualify": (110.0, [*joulemark, "qualify", "--device", "cuda", "--results", str(results)]),
        "sweep": (140.0, [*joulemark, "run", "+experiment=gpu", f"run.results={results}"]),
        "workloads": (140.0, [*pytest, *others, f"--junitxml={folder / 'workloads.xml'}"]),
    }


def run(name: str, command: list[str], log: Path, limit_s: float) -> Stage:
    """Run a stage with its output in a log and on the terminal's last line; kill it at its limit."""
    missing = [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]
    if missing:
        return Stage(name, None, 0.0, f"this Python lacks {', '.join(missing)}")
    begin = time.monotonic()
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, timeout=limit_s, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            return Stage(name, None, time.monotonic() - begin, f"stopped after {limit_s:.0f} s")
    return Stage(
        name, code, time.monotonic() - begin, None if code == 0 else f"exit code {code}, see {log.name}"
    )


def environment() -> dict[str, object]:
    """Return what the archive says of the machine's software."""
    smi = shutil.which("nvidia-smi")
    asked = subprocess.run([smi, "-q"], capture_output=True, text=True, check=False) if smi else None
    return {
        "python": sys.version,
        "packages": {
            name: importlib.util.find_spec(name) is not None
            for name in ("torch", "numpy", "pydantic", "hydra", "duckdb", "pynvml", "pytest")
        },
        "nvidia_smi": asked.stdout if asked else None,
    }


def refusal() -> str | None:
    """Return why nothing can be checked here, or None where the driver shows a device."""
    sys.path.insert(0, str(ROOT))
    from harness.shim.cuda.driver import load
    from harness.shim.errors import ShimError

    try:
        return None if load().device_count() else "the CUDA driver shows no device"
    except ShimError as error:
        return str(error)


def main() -> int:
    """Run the stages in turn and write the archive; 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description="Run everything that needs a GPU, and archive the records.")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="folder of the archive")
    folder = parser.parse_args().out.resolve() / "gpu-check"
    reason = refusal()
    if reason is not None:
        print(f"gpu-check: {reason}", file=sys.stderr)
        return 2
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "environment.json").write_text(json.dumps(environment(), indent=1))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))

    ends = time.monotonic() + BUDGET_S
    done = []
    for name, (limit_s, command) in stages(folder).items():
        log = folder / f"{name}.log"
        stage = run(name, command, log, max(1.0, min(limit_s, ends - time.monotonic())))
        done.append(stage)
        print(f"{name}: {stage.reason or 'ok'} ({stage.seconds:.0f} s)", flush=True)
        if stage.reason and log.exists():
            print(log.read_text(errors="replace")[-2000:], flush=True)
    (folder / "stages.json").write_text(json.dumps([asdict(stage) for stage in done], indent=1))

    archive = folder.with_suffix(".tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    print(f"records and logs: {archive}")
    return 0 if all(stage.exit_code == 0 for stage in done) else 1


if __name__ == "__main__":
    sys.exit(main())
