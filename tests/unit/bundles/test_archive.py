"""Bundles: the same bytes for the same sweep, a round trip, and archives that mean harm."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from harness.bundles.archive import MANIFEST, BundleError, merge_bundles, verify_bundle, write_bundle
from harness.records.store import Store, open_store

HOME = f"demo/{'c' * 64}/{'b' * 64}/r00-a00/record.json"


@pytest.fixture
def filled(store: Store, make_record) -> Store:
    """Return a store of two replicas with a plan and a log, and things that do not travel."""
    for replica in (0, 1):
        path = store.write(make_record({"iteration.mean": 0.1}, replica=replica))
        path.with_name("log.txt").write_text("a log\n")
    store.write_plan("demo", {"sweep": "demo", "trials": []})
    (store.root / "demo" / "private.txt").write_text("secret")
    (store.root / "demo" / "gate.json").symlink_to("/etc/hostname")
    return store


def _tar(path: Path, members: list[tuple[tarfile.TarInfo | str, bytes]], listed: dict | None = None) -> Path:
    """Write an archive; the list is right for its plain members unless another is given."""
    if listed is None:
        listed = {
            m: {"size": len(d), "sha256": hashlib.sha256(d).hexdigest()}
            for m, d in members
            if isinstance(m, str)
        }
    manifest = json.dumps({"format": "joulemark-bundle", "version": 1, "files": listed}).encode()
    with tarfile.open(path, "w:") as tar:
        for member, data in [(MANIFEST, manifest), *members]:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.isreg():
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_a_bundle_repeats_to_the_byte_and_merges_whole(filled: Store, tmp_path: Path) -> None:
    """Records, logs and the plan travel; links and unknown files do not."""
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    assert write_bundle(filled, ["demo"], first) == write_bundle(filled, ["demo"], second) == 5
    assert first.read_bytes() == second.read_bytes()
    elsewhere = open_store(tmp_path / "elsewhere")
    done = merge_bundles(elsewhere, [first, second])
    assert (done.added, done.known, done.conflicts) == (5, 5, ())
    assert elsewhere.records("demo")[0] == filled.records("demo")[0]
    assert not (elsewhere.root / "demo" / "private.txt").exists()


def test_a_file_that_no_bundle_may_hold_is_refused_unread(filled: Store, tmp_path: Path) -> None:
    """A hole of 200 GB costs nothing to plant, and minutes to read; nothing is left of the bundle."""
    with filled.root.joinpath(HOME).with_name("log.txt").open("r+b") as file:
        file.truncate(200 * 10**9)
    with pytest.raises(ValueError, match=r"log\.txt: 200000000000 bytes; a bundle takes"):
        write_bundle(filled, ["demo"], tmp_path / "demo.tar")
    assert not list(tmp_path.glob("*.tar*"))


def test_a_merge_overwrites_nothing(filled: Store, tmp_path: Path) -> None:
    """A record that is there with other contents stays, and is named."""
    bundle = tmp_path / "demo.tar"
    write_bundle(filled, ["demo"], bundle)
    path = filled.root / HOME
    path.write_text("mine")
    done = merge_bundles(filled, [bundle])
    assert done.conflicts == (HOME,)
    assert path.read_text() == "mine"


def _link(kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(HOME)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


_ONE = {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
_EMPTY = {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}


@pytest.mark.parametrize(
    ("members", "listed", "said"),
    [
        ([("../escape/plan.json", b"x")], None, "no place in a results folder"),
        ([("/etc/plan.json", b"x")], None, "no place in a results folder"),
        ([("index/plan.json", b"x")], None, "no place in a results folder"),
        ([("demo/plan.json/../../../x", b"x")], None, "no place in a results folder"),
        ([(HOME.replace("record.json", "run.sh"), b"x")], None, "no place in a results folder"),
        ([(_link(tarfile.SYMTYPE), b"")], {HOME: _EMPTY}, "not a plain file"),
        ([(_link(tarfile.LNKTYPE), b"")], {HOME: _EMPTY}, "not a plain file"),
        ([(_link(tarfile.FIFOTYPE), b"")], {HOME: _EMPTY}, "not a plain file"),
        ([(HOME, b"x")], {}, "is not in its list"),
        ([(HOME, b"x"), (HOME, b"x")], None, "twice in the file"),
        ([(HOME, b"x")], {HOME: _EMPTY | {"size": 2}}, "has 1 bytes, not 2"),
        ([(HOME, b"x")], {HOME: _EMPTY | {"size": 1}}, "was changed"),
        ([], {HOME: _EMPTY}, "is missing"),
        ([], {HOME: _EMPTY | {"size": 1 << 40}}, "size: "),
        ([], {HOME: _EMPTY | {"sha256": "x"}}, "sha256: "),
    ],
)
def test_a_hostile_bundle_is_refused_and_writes_nothing(tmp_path: Path, members, listed, said: str) -> None:
    """No path escapes, no link is made, nothing is larger than it says."""
    bundle = _tar(tmp_path / "bad.tar", members, listed)
    target = open_store(tmp_path / "results")
    with pytest.raises(BundleError) as caught:
        merge_bundles(target, [bundle])
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(bundle))
    assert not target.root.exists()


@pytest.mark.parametrize("mode", [0o755, 0o4644, 0o1644])
def test_a_member_with_a_programs_permissions_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever unpacks it with another tool would get a program."""
    member = tarfile.TarInfo(HOME)
    member.mode = mode
    bundle = _tar(tmp_path / "bad.tar", [(member, b"x")], {HOME: _ONE})
    with pytest.raises(BundleError, match=f"has the permissions {mode:o}"):
        verify_bundle(bundle)


@pytest.mark.parametrize(
    "name", [HOME.replace("rec", "re\u0441"), HOME.replace("r00", "r\uff10\uff10"), "d\u0435mo/plan.json"]
)
def test_a_name_that_only_looks_right_has_no_place(tmp_path: Path, name: str) -> None:
    """Cyrillic and full-width signs."""
    with pytest.raises(BundleError, match="no place in a results folder"):
        verify_bundle(_tar(tmp_path / "bad.tar", [(name, b"x")]))


def test_a_list_that_names_a_file_twice_is_refused(tmp_path: Path) -> None:
    """One reader takes the first, another the last."""
    told = json.dumps({"format": "joulemark-bundle", "version": 1, "files": {HOME: _ONE}})
    manifest = told.replace('"files": {', f'"files": {{"{HOME}": {json.dumps(_EMPTY)}, ').encode()
    bundle = tmp_path / "bad.tar"
    with tarfile.open(bundle, "w:") as tar:
        for name, data in ((MANIFEST, manifest), (HOME, b"x")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with pytest.raises(BundleError, match="twice"):
        verify_bundle(bundle)


def test_one_bad_bundle_keeps_a_good_one_out(filled: Store, tmp_path: Path) -> None:
    """All are checked before the first file is written."""
    good, bad = tmp_path / "good.tar", _tar(tmp_path / "bad.tar", [("../x", b"")])
    write_bundle(filled, ["demo"], good)
    target = open_store(tmp_path / "other")
    with pytest.raises(BundleError):
        merge_bundles(target, [good, bad])
    assert not target.root.exists()


@pytest.mark.parametrize("keep", [0, 100, 600, 5000])
def test_a_torn_bundle_is_refused(filled: Store, tmp_path: Path, keep: int) -> None:
    """Cut off anywhere, it is no bundle; neither is a compressed one."""
    bundle = tmp_path / "demo.tar"
    write_bundle(filled, ["demo"], bundle)
    bundle.write_bytes(bundle.read_bytes()[:keep])
    with pytest.raises(BundleError):
        verify_bundle(bundle)


def test_a_link_in_the_results_folder_leads_nothing_out(filled: Store, tmp_path: Path) -> None:
    """A sweep's folder that is a link elsewhere is not written through."""
    bundle, outside = tmp_path / "demo.tar", tmp_path / "outside"
    write_bundle(filled, ["demo"], bundle)
    target = open_store(tmp_path / "other")
    outside.mkdir()
    target.root.mkdir()
    (target.root / "demo").symlink_to(outside)
    with pytest.raises(OSError, match="leads out of"):
        merge_bundles(target, [bundle])
    assert list(outside.iterdir()) == []
