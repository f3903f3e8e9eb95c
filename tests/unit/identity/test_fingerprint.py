from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.identity import fingerprint
from harness.identity.fingerprint import (
    CODE_IDENTITY,
    CODE_IDENTITY_LATER,
    MACHINE_IDENTITY,
    code_facts,
    code_id,
    machine_facts,
    machine_id,
    source_digest,
)
from harness.planning.plan import make_plan

GPU = {
    "accelerators_per_node": 2,
    "accelerator_model_name": "NVIDIA H200",
    "accelerator_uuid_sha256": ["1f", "2e"],
    "accelerator_driver": "580.1",
    "accelerator_power_limit_mw": 700_000,
}


def test_the_machine_is_described_in_plain_json() -> None:
    """The facts name this processor and memory, hold only JSON, and not the host's name."""
    facts = machine_facts()
    text = json.dumps(facts, allow_nan=False)
    assert socket.gethostname() not in text.split('"')
    assert facts["host_processor_model_name"]
    assert facts["host_processor_vcpu_count"] >= facts["host_processor_usable"] >= 1
    assert facts["host_memory_bytes"] > 2**28
    assert re.fullmatch(r"\d+ GiB", facts["host_memory_capacity"])
    assert facts["accelerators_per_node"] == 0


def test_the_accelerators_facts_are_taken_in() -> None:
    """Facts from the device replace the empty ones and stand beside the host's."""
    facts = machine_facts(GPU)
    assert GPU.items() <= facts.items()
    assert machine_id(facts) != machine_id(machine_facts())


@pytest.mark.parametrize(
    "changed", ["kernel", "operating_system", "accelerator_driver", "host_processor_governor"]
)
def test_software_and_settings_do_not_make_another_machine(changed: str) -> None:
    """A new kernel, system, driver or governor leaves the identity."""
    facts = machine_facts(GPU)
    assert machine_id(facts | {changed: "another"}) == machine_id(facts)


@pytest.mark.parametrize("changed", MACHINE_IDENTITY)
def test_other_hardware_is_another_machine(changed: str) -> None:
    """Each named field takes part in the identity, which is a sha256."""
    facts = machine_facts(GPU)
    assert machine_id(facts | {changed: "another"}) != machine_id(facts)
    assert re.fullmatch("[0-9a-f]{64}", machine_id(facts))


@pytest.mark.parametrize("changed", [*CODE_IDENTITY, *CODE_IDENTITY_LATER])
def test_other_code_has_another_identity(changed: str) -> None:
    """Each named version and digest takes part in the identity."""
    facts = code_facts({"accelerator_driver": "580.1"})
    assert code_id(facts | {changed: "another"}) != code_id(facts)


def test_records_of_before_keep_their_code_s_identity() -> None:
    """A fact that is named since is no part of the digest of facts without it."""
    facts = dict.fromkeys(CODE_IDENTITY, "1")
    assert code_id(facts) == "e880288c3c781642e9d7a17179aed87416445ca97454ca4231f8112d4a18ad5e"


def test_a_commit_that_changes_no_source_is_the_same_code() -> None:
    """The commit and the time of day are facts, not identity."""
    facts = code_facts()
    assert code_id(facts | {"git_commit": "0" * 40, "git_dirty": True}) == code_id(facts)
    assert code_id(code_facts()) == code_id(facts)


def test_a_worker_loads_nothing_that_the_code_identity_leaves_out() -> None:
    """After a whole trial no module of those rooms is loaded: none of them can change a measurement."""
    words = ["workload=mlp", "device=cpu", "measure=quick", "measure.seconds=0.05", "measure.warmup_s=0"]
    (trial,) = make_plan([*words, "measure.warmup_cap_s=0.05", "power=none"]).trials
    script = (
        "import json, sys, harness.worker; from harness.trial import replica; replica.preload();"
        "from harness.isolation.protocol import ReplicaSpec;"
        "spec = ReplicaSpec.from_dict(json.loads(sys.argv[1]));"
        "result = replica.run_replica(spec, lambda _phase: None);"
        "print(json.dumps([result['status'], [m for m in sys.modules if m.startswith('harness.')]]))"
    )
    spec = json.dumps({"config": trial.payload, "size": dict(trial.size)})
    done = subprocess.run(
        [sys.executable, "-c", script, spec],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    status, modules = json.loads(done.stdout.splitlines()[-1])
    rooms = {name.split(".")[1] for name in modules}
    assert status == "ok"
    assert {"trial", "timing", "energy"} <= rooms
    assert rooms.isdisjoint(fingerprint.NEVER_IN_A_WORKER)


def test_the_fingerprint_does_not_import_torch() -> None:
    """The versions are read from the packages' metadata."""
    script = (
        "import sys; from harness.identity.fingerprint import *; code_facts(); machine_facts();"
        "print([m for m in ('torch', 'duckdb', 'scipy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.strip() == "[]"


def test_a_digest_sees_names_and_contents_of_sources_only(tmp_path: Path) -> None:
    """A changed byte, a renamed file and a moved boundary change it; caches and left-out packages do not."""

    def write(files: dict[str, str]) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return source_digest(root, without=("report",))

    plain = write({"a.py": "1", "sub/b.cu": "2"})
    assert write({"a.py": "1", "sub/b.cu": "2", "x.pyc": "3", "report/c.py": "4"}) == plain
    changed = [
        write({"a.py": "1", "sub/b.cu": "3"}),
        write({"a.py": "1", "sub/c.cu": "2"}),
        write({"a.py": "12", "sub/b.cu": ""}),
        write({"a.py": "1"}),
    ]
    assert len({plain, *changed}) == 5


def test_outside_a_checkout_and_without_tools_facts_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No git folder, no git and no compiler give None, not an error and not a guess."""
    assert fingerprint._git(tmp_path) == {"git_commit": None, "git_dirty": None}
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / ".git").mkdir()
    assert fingerprint._git(tmp_path) == {"git_commit": None, "git_dirty": None}
    assert code_facts()["compiler"] is None


def test_a_checkout_tells_its_commit_and_whether_sources_changed(tmp_path: Path) -> None:
    """Clean after a commit, dirty after an edit of a source, and documents do not count."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "a.py").write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "README.md").write_text("words")
    assert fingerprint._git(tmp_path) == {"git_commit": commit, "git_dirty": False}
    (tmp_path / "harness" / "a.py").write_text("2")
    assert fingerprint._git(tmp_path) == {"git_commit": commit, "git_dirty": True}
