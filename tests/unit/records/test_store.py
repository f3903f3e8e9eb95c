from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.records import open_store
from harness.records.codec import MAX_RECORD_BYTES
from harness.records.store import AttemptTakenError, Store, StoreError

RECORD_PATH = Path("demo", "c" * 64, "b" * 64, "r00-a00", "record.json")


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_record_returns_as_it_was_written(store: Store, make_record: Any) -> None:
    """What is read equals what was written, where it belongs, and nothing lies beside it."""
    record = make_record({"throughput.samples": 3.5, "power.mean": None}, series={"loss": (2.0, 1.0)})
    path = store.write(record)
    assert path == store.root / RECORD_PATH
    assert store.records() == ([record], [])
    assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert _tree(store.root) == [str(RECORD_PATH)]


def test_an_existing_attempt_folder_keeps_its_log(store: Store, make_record: Any) -> None:
    """A folder that holds a log and a trace but no record takes the record beside them."""
    folder = store.attempt_dir("demo", "c" * 64, "b" * 64, 0, 0)
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("hello")
    store.write(make_record())
    assert (folder / "log.txt").read_text() == "hello"
    assert len(store.records()[0]) == 1


def test_a_record_is_never_overwritten(store: Store, make_record: Any) -> None:
    """A second record of the same attempt is refused and the first stays to the byte."""
    path = store.write(make_record())
    before = path.read_bytes()
    with pytest.raises(AttemptTakenError, match="never overwritten"):
        store.write(make_record(reason="another"))
    assert path.read_bytes() == before
    assert _tree(store.root) == [str(RECORD_PATH)]


def test_of_many_writers_exactly_one_wins(store: Store, make_record: Any) -> None:
    """Concurrent writers of one attempt leave one whole record; the others are told."""
    outcomes: list[str] = []
    barrier = threading.Barrier(8)

    def write(i: int) -> None:
        record = make_record(reason=f"writer {i}")
        barrier.wait()
        try:
            store.write(record)
            outcomes.append(f"writer {i}")
        except AttemptTakenError:
            outcomes.append("taken")

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if outcome != "taken"]
    records, torn = store.records()
    assert ([r.reason for r in records], torn, len(outcomes)) == (winners, [], 8)


_KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from harness.records import open_store
from harness.records.schema import Record
Path.rename = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
open_store(sys.argv[1]).write(Record.model_validate_json(sys.stdin.read()))
"""


def test_a_writer_killed_before_the_rename_leaves_no_record(store: Store, make_record: Any) -> None:
    """After SIGKILL between write and rename nothing is read, and the next attempt is free."""
    record = make_record()
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_WRITER, str(store.root)],
        input=record.model_dump_json(),
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == -signal.SIGKILL
    assert store.records() == ([], [])
    with pytest.raises(AttemptTakenError, match="died"):
        store.write(record)
    attempt = store.next_attempt("demo", record.machine_id, record.trial_id, 0)
    assert attempt == 1
    again = record.model_copy(update={"attempt": attempt})
    store.write(again)
    assert store.records() == ([again], [])


@pytest.mark.parametrize("step", ["fsync", "rename"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_failed_write_leaves_nothing_and_says_what_to_do(
    store: Store, make_record: Any, monkeypatch: pytest.MonkeyPatch, code: int, step: str
) -> None:
    """A full or read-only disk while writing gives one line, no torn file, and the attempt stays free."""

    def fail(*_arguments: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync", fail) if step == "fsync" else (Path, "rename", fail)))
        with pytest.raises(StoreError) as caught:
            store.write(make_record())
    assert "\n" not in str(caught.value)
    assert str(store.root) in str(caught.value)
    assert _tree(store.root) == []
    store.write(make_record())


@pytest.mark.parametrize(("code", "word"), [(errno.EROFS, "read-only"), (errno.ENOSPC, "full")])
def test_check_writable_tells_what_the_disk_refuses(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int, word: str
) -> None:
    """The check really writes and syncs, so it also fails for root, in one line that names the way out."""

    def fail(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match=word) as caught:
            store.check_writable()
    assert "run.results=" in str(caught.value)
    assert "\n" not in str(caught.value)
    store.check_writable()
    assert _tree(store.root) == []


def test_a_file_in_the_way_of_the_folder_is_told(tmp_path: Path) -> None:
    """A results path that is a file, or lies beneath one, is one clear line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="a file, not a folder"):
        open_store(tmp_path / "file").check_writable()
    with pytest.raises(StoreError, match="not a folder"):
        open_store(tmp_path / "file" / "results").check_writable()


@pytest.fixture
def mount(tmp_path: Path) -> Any:
    """Return a function that mounts a small tmpfs; skip where mounting is not allowed."""
    mounted: list[Path] = []

    def mount_one(*, options: str) -> Path:
        target = tmp_path / f"mount{len(mounted)}"
        target.mkdir()
        if shutil.which("mount") is None:
            pytest.skip("there is no mount command")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", str(target)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        mounted.append(target)
        return target

    yield mount_one
    for target in mounted:
        subprocess.run(["umount", str(target)], check=True)


@pytest.mark.parametrize(("options", "word"), [("ro", "read-only"), ("size=16k", "full")])
def test_real_mounts_refuse_even_root(mount: Any, options: str, word: str) -> None:
    """A read-only mount and a full one are told apart by really writing."""
    target = mount(options=options)
    with pytest.raises(StoreError, match=word):
        open_store(target).check_writable()
    assert list(target.iterdir()) == []


def test_every_cut_of_a_record_is_reported_and_hides_no_other(store: Store, make_record: Any) -> None:
    """A record torn anywhere is skipped with its path and a reason; its neighbour is read."""
    whole = make_record(replica=1)
    store.write(whole)
    path = store.write(make_record())
    data = path.read_bytes()
    for length in range(0, len(data) - 2, 97):
        path.write_bytes(data[:length])
        records, torn = store.records()
        assert records == [whole]
        assert [t.path for t in torn] == [path]
        assert torn[0].reason
        assert "\n" not in torn[0].reason


def _bad(path: Path, edit: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"schema_version": 99}, "newer Joulemark"),
        ({"schema_version": 99, "colour": "red"}, "newer Joulemark"),
        ({"schema_version": 0}, "no schema"),
        ({"colour": "red"}, "colour"),
        ({"replica": 3}, "misplaced"),
        ({"sweep": "other"}, "misplaced"),
        ({"sweep": "../../etc"}, "sweep"),
        ({"machine_id": "/etc"}, "machine_id"),
        ({"trial_id": "b" * 64 + "\n"}, "trial_id"),
        ({"evidence": {"tick_ns": float("nan")}}, "evidence.tick_ns"),
    ],
)
def test_a_wrong_record_is_reported_with_its_reason(
    store: Store, make_record: Any, edit: dict[str, Any], reason: str
) -> None:
    """What is no record, of another schema, misplaced or hostile is skipped, with the cause."""
    path = store.write(make_record())
    _bad(path, edit)
    records, torn = store.records()
    assert records == []
    assert len(torn) == 1
    assert reason in torn[0].reason


def test_things_that_are_no_plain_files_are_not_read(store: Store, make_record: Any) -> None:
    """Links, pipes, folders and oversized files are reported; none blocks or is followed."""
    paths = [store.write(make_record(replica=i)) for i in range(5)]
    elsewhere = store.root.parent / "elsewhere.json"
    paths[0].rename(elsewhere)
    paths[0].symlink_to(elsewhere)
    paths[1].unlink()
    os.mkfifo(paths[1])
    paths[2].unlink()
    paths[2].mkdir()
    with paths[3].open("r+b") as file:
        file.truncate(MAX_RECORD_BYTES + 1)
    records, torn = store.records()
    assert [r.replica for r in records] == [4]
    assert [t.path for t in torn] == paths[:4]


def test_a_linked_folder_and_a_stray_record_are_reported(store: Store, make_record: Any) -> None:
    """A folder that is a link, and a record at the wrong depth, do not vanish in silence."""
    path = store.write(make_record())
    sweep = store.root / "demo"
    (sweep / ("e" * 64)).symlink_to(sweep / ("c" * 64))
    shutil.copy(path, sweep / "record.json")
    records, torn = store.records()
    assert len(records) == 1
    assert {t.path for t in torn} == {sweep / "record.json", sweep / ("e" * 64)}


@pytest.mark.parametrize(
    "parts",
    [
        ("..", "c" * 64, "b" * 64, 0, 0),
        ("a/b", "c" * 64, "b" * 64, 0, 0),
        ("", "c" * 64, "b" * 64, 0, 0),
        ("index", "c" * 64, "b" * 64, 0, 0),
        ("demo\n", "c" * 64, "b" * 64, 0, 0),
        ("demo", "../" + "c" * 61, "b" * 64, 0, 0),
        ("demo", "c" * 64, "B" * 64, 0, 0),
        ("demo", "c" * 64, "b" * 64, -1, 0),
        ("demo", "c" * 64, "b" * 64, 0, 10000),
    ],
)
def test_no_path_component_escapes(store: Store, parts: tuple[Any, ...]) -> None:
    """A name with a separator, a dot in front, or that is reserved makes no path."""
    with pytest.raises(ValueError, match="not"):
        store.attempt_dir(*parts)


def test_attempts_are_numbered_per_replica(store: Store, make_record: Any) -> None:
    """The next attempt is free, and follows our last one of its replica, beyond a hundred too."""
    ids = ("demo", "c" * 64, "b" * 64)
    assert store.next_attempt(*ids, 0) == 0
    store.write(make_record(attempt=120))
    store.attempt_dir(*ids, 0, 121).mkdir(parents=True)
    store.write(make_record(replica=1))
    assert [store.next_attempt(*ids, replica) for replica in (0, 1, 2)] == [122, 1, 0]


def test_sweeps_are_the_named_folders(store: Store, make_record: Any) -> None:
    """Files, hidden folders, the index and the reference store are no sweeps."""
    assert store.sweeps() == []
    store.write(make_record(sweep="zeta"))
    store.write(make_record(sweep="alpha"))
    for name in (".hidden", "index", "reference"):
        (store.root / name).mkdir()
    (store.root / "README.md").write_text("")
    assert store.sweeps() == ["alpha", "zeta"]
    assert [r.sweep for r in store.records("zeta")[0]] == ["zeta"]


def test_folders_merge_by_copying(store: Store, make_record: Any, tmp_path: Path) -> None:
    """Records of two machines copied into one folder are all there."""
    other = open_store(tmp_path / "other")
    store.write(make_record())
    other.write(make_record(machine_id="e" * 64))
    shutil.copytree(other.root, store.root, dirs_exist_ok=True)
    assert {r.machine_id for r in store.records()[0]} == {"c" * 64, "e" * 64}


def test_a_plan_is_replaced_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan reads back, a new one replaces it, and a failed replacement leaves the old one."""
    assert store.read_plan("demo") is None
    empty = {"sweep": "demo", "machine_id": "c" * 64, "code_id": "d" * 64, "trials": []}
    store.write_plan("demo", {"trials": [1]})
    store.write_plan("demo", empty)

    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError):
            store.write_plan("demo", {"trials": []})
    assert store.read_plan("demo") == empty
    assert _tree(store.root) == ["demo/plan.json"]


@pytest.mark.parametrize(
    "text", ["{", "{}", "[]", "[" * 100_000, '{"sweep": "demo", "machine_id": "x", "trials": [null]}']
)
def test_a_torn_plan_is_one_line(store: Store, text: str) -> None:
    """A plan that is no plan names its path and the way out."""
    path = store.write_plan("demo", {})
    path.write_text(text)
    with pytest.raises(StoreError, match="run the sweep again") as caught:
        store.read_plan("demo")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_but_json_is_written(store: Store, make_record: Any) -> None:
    """NaN, objects and a record too large are refused before anything touches the disk."""
    for evidence in ({"a": [{"b": float("inf")}]}, {"a": object()}, {"a": "x" * MAX_RECORD_BYTES}):
        with pytest.raises(ValueError, match=r"finite|serialize|at most"):
            store.write(make_record(evidence=evidence))
    with pytest.raises(ValueError, match="JSON"):
        store.write_plan("demo", {"a": object()})
    assert not store.root.exists()


def test_a_link_to_itself_is_no_sweep_and_no_record(store, make_record):
    """What leads nowhere is passed over, wherever it lies."""
    path = store.write(make_record())
    for folder in (store.root, *path.relative_to(store.root).parents[:-1]):
        loop = store.root / folder / "loop"
        loop.symlink_to(loop)
    assert store.sweeps() == [path.relative_to(store.root).parts[0]]
    assert len(store.records()[0]) == 1
