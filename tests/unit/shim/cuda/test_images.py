"""Which image a device gets, the cache of compiled ones, and the refusals where there is none."""

from __future__ import annotations

import ctypes
import hashlib
import json
from pathlib import Path

import pytest

from harness.shim.cuda import cache, images, nvrtc
from harness.shim.cuda.images import fitting, image_for
from harness.shim.cuda.nvrtc import Nvrtc, compiler_for
from harness.shim.errors import ArchitectureError, CompileError, CompilerMissingError

NOTHING = "libnvrtc-absent.so"


@pytest.fixture
def released(tmp_path):
    """Make a folder of release images whose content says what it is."""

    def make(*names: str, damaged: str = "", stale: str = "") -> None:
        hashes = {}
        for name in names:
            (tmp_path / name).write_bytes(name.encode())
            hashes[name] = hashlib.sha256(b"x" if name == damaged else name.encode()).hexdigest()
        sources = {u: "old" if u == stale else images.source_hash(u) for u in images.UNITS}
        (tmp_path / images.MANIFEST).write_text(json.dumps({"images": hashes, "sources": sources}))

    make.folder = tmp_path
    return make


@pytest.fixture
def no_compiler(monkeypatch):
    """Take NVRTC away."""
    monkeypatch.setattr(nvrtc, "candidates", lambda: iter([NOTHING]))


def test_the_exact_architecture_comes_first_then_lower_ones_then_ptx():
    """For a device of 8.9: its own code, then that of 8.6 and 8.0, then PTX, newest first."""
    assert list(fitting("timing", (8, 9))) == [
        ("89", "cubin"), ("86", "cubin"), ("80", "cubin"), ("80", "ptx"), ("75", "ptx"),
    ]  # fmt: skip


def test_code_never_crosses_the_major_number():
    """A device of 10.3 runs code of 10.0 and none of 9.0; one of 12.1 that of 12.0; one of 11.0 only PTX."""
    assert ("100", "cubin") in list(fitting("timing", (10, 3)))
    assert not any(kind == "cubin" and a.startswith("9") for a, kind in fitting("timing", (10, 3)))
    assert ("120", "cubin") in list(fitting("timing", (12, 1)))
    assert [kind for _, kind in fitting("timing", (11, 0))] == ["ptx", "ptx"]


@pytest.mark.parametrize(
    ("names", "capability", "expected"),
    [
        (("timing.sm_90.cubin", "timing.sm_90a.cubin"), (9, 0), "timing.sm_90a.cubin"),
        (("timing.sm_80.cubin", "timing.sm_86.cubin"), (8, 9), "timing.sm_86.cubin"),
        (("timing.sm_90.cubin", "timing.compute_80.ptx"), (10, 0), "timing.compute_80.ptx"),
        (("timing.compute_75.ptx", "timing.compute_80.ptx"), (7, 5), "timing.compute_75.ptx"),
    ],
)
def test_the_best_released_image_is_taken(released, no_compiler, names, capability, expected):
    """Exact, then the same major, then PTX that is not newer than the device."""
    released(*names)
    assert image_for("timing", capability, released=released.folder).code == expected.encode()


def test_a_damaged_release_is_refused(released):
    """Bytes that the manifest does not vouch for are never given to the driver."""
    released("timing.sm_90.cubin", damaged="timing.sm_90.cubin")
    with pytest.raises(ArchitectureError, match=r"timing\.sm_90\.cubin is damaged"):
        image_for("timing", (9, 0), released=released.folder)


def test_a_damaged_manifest_is_refused(tmp_path):
    """A torn manifest vouches for nothing."""
    (tmp_path / images.MANIFEST).write_text('{"images": {')
    with pytest.raises(ArchitectureError, match="manifest of the released images is damaged"):
        image_for("timing", (9, 0), released=tmp_path)


def test_a_release_of_another_source_is_passed_over(released):
    """Images older than the source are not used: NVRTC compiles today's."""
    released("timing.sm_90.cubin", stale="timing")
    image = image_for("timing", (9, 0), released=released.folder)
    assert image.origin.startswith("NVRTC")
    assert image.code.startswith(b"\x7fELF")


def test_without_image_and_compiler_the_refusal_says_both(tmp_path, no_compiler):
    """What was looked for and what would bring it."""
    with pytest.raises(
        ArchitectureError, match=r"no image of timing fits sm_90, and no NVRTC .* torch or nvidia-cuda"
    ):
        image_for("timing", (9, 0), released=tmp_path)


def test_an_unknown_architecture_is_refused(tmp_path):
    """A device that no NVRTC here knows is named, with what is known."""
    with pytest.raises(ArchitectureError, match=r"fits sm_990, and no NVRTC for sm_990: .* knows up to \d+"):
        image_for("timing", (99, 0), released=tmp_path)


def test_a_device_too_old_is_refused(tmp_path):
    """Below 7.5 nothing is tried."""
    with pytest.raises(ArchitectureError, match="sm_70 is older than sm_75"):
        image_for("timing", (7, 0), released=tmp_path)


def test_another_architectures_own_instructions_are_refused(tmp_path):
    """Wgmma is Hopper's; on Ampere the refusal says so."""
    with pytest.raises(ArchitectureError, match="wgmma is for sm_90a alone; this device is sm_80"):
        image_for("wgmma", (8, 0), released=tmp_path)


def test_a_compiled_image_comes_from_the_cache_the_second_time(monkeypatch, tmp_path):
    """The same source, architecture, version and options compile once; another architecture again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled = []
    real = Nvrtc._compile
    monkeypatch.setattr(Nvrtc, "_compile", lambda *a: (compiled.append(a[2][0]), real(*a))[1])
    compiler = compiler_for("80")
    first, again = (
        compiler.compile(images.source("timing"), "80", headers=images.headers()) for _ in range(2)
    )
    assert first == again
    compiler.compile(images.source("timing"), "86", headers=images.headers())
    assert compiled == ["--gpu-architecture=sm_80", "--gpu-architecture=sm_86"]


def test_a_damaged_cache_entry_is_rebuilt(monkeypatch, tmp_path):
    """One flipped byte, or a torn file, and the entry counts as absent; it is whole again afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiler = compiler_for("80")
    source = 'extern "C" __global__ void k() {}'
    good = compiler.compile(source, "80", headers={})
    (entry,) = cache.folder().iterdir()
    whole = entry.read_bytes()
    for damaged in (whole[:50] + bytes([whole[50] ^ 1]) + whole[51:], whole[:100], b""):
        entry.write_bytes(damaged)
        assert compiler.compile(source, "80", headers={}) == good
        assert entry.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_no_result(monkeypatch, tmp_path):
    """A file where the folder should be: compilation goes on, and leaves nothing behind."""
    (tmp_path / "joulemark").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    image = compiler_for("80").compile('extern "C" __global__ void k() {}', "80", headers={})
    assert image.startswith(b"\x7fELF")


def test_a_change_of_a_header_is_another_entry():
    """Keys cover every part, and where one part ends."""
    assert cache.key("ab", "c") != cache.key("a", "bc")


def test_a_source_that_does_not_compile_names_its_first_error():
    """The user sees the compiler's line, not its whole log."""
    with pytest.raises(CompileError, match=r'error: identifier "nonsense" is undefined'):
        compiler_for("80").compile("__device__ int x = nonsense;", "80", headers={})


def test_builtins_beside_nvrtc_are_loaded_first_and_for_all(monkeypatch):
    """NVRTC 13.0.88 finds its builtins only when the loader has them under their bare name."""
    loaded = []
    real = ctypes.CDLL

    def load(path, mode=ctypes.DEFAULT_MODE):
        loaded.append((Path(path).name.split(".")[0], mode))
        return real(path, mode)

    monkeypatch.setattr(nvrtc.ctypes, "CDLL", load)
    Nvrtc(next(path for path in nvrtc.candidates() if "/" in path))
    assert ("libnvrtc-builtins", ctypes.RTLD_GLOBAL) in loaded
    assert loaded[-1][0] == "libnvrtc"


def test_a_library_that_is_no_nvrtc_is_refused(library):
    """A library that loads but lacks NVRTC's functions is told from a missing one by its message."""
    with pytest.raises(CompilerMissingError, match="cannot load NVRTC"):
        Nvrtc(library)
    with pytest.raises(CompilerMissingError, match="cannot load NVRTC"):
        Nvrtc(NOTHING)
