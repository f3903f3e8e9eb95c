"""Every kernel compiles for every architecture, and its machine code holds what was meant."""

from __future__ import annotations

import pytest

from harness.shim.cuda import images
from harness.shim.cuda.nvrtc import compiler_for
from harness.shim.cuda.session import KERNELS


@pytest.fixture(scope="module")
def sass(tool):
    """Return the lint."""
    return tool("sass_lint")


@pytest.fixture(scope="module")
def nvdisasm(sass):
    """Return the disassembler's path."""
    found = sass.disassembler()
    if found is None:
        pytest.skip("no nvdisasm: the wheel nvidia-cuda-nvdisasm is not installed")
    return found


def code_of(sass, nvdisasm, source, architecture="80", headers=()):
    """Compile and disassemble a source."""
    made = compiler_for(architecture).compile(source, architecture, headers=dict(headers))
    return sass.disassemble(made, nvdisasm)


def kernels_of(unit, architecture):
    """Name the kernels that a unit must have on an architecture."""
    names = {name for name, (its, _) in KERNELS.items() if its == unit}
    if unit == "mma":
        number = int(architecture.rstrip("a"))
        if number < 80:
            names -= {"mma_bf16", "mma_tf32"}
        if number != 89 and number < 120:
            names -= {"mma_fp8"}
    return names


@pytest.mark.parametrize("unit", images.UNITS)
def test_every_kernel_is_there_with_the_instructions_meant_and_without_spills(sass, nvdisasm, unit):
    """For each architecture no kernel is missing, no arithmetic is optimised away, nothing spills."""
    for architecture in images.built_for(unit):
        code = code_of(sass, nvdisasm, images.source(unit), architecture, images.headers())
        assert set(code) == kernels_of(unit, architecture), architecture
        assert sass.lint(code) == [], architecture


def test_every_rule_bears_on_a_kernel(sass):
    """A rule whose pattern names no kernel would prove nothing."""
    for rule in sass.RULES:
        assert any(sass.re.fullmatch(rule.kernel, name) for name in KERNELS), rule


def test_the_lint_sees_arithmetic_that_was_optimised_away(sass, nvdisasm):
    """Multiply-adds whose result nobody needs are gone, and the lint says so."""
    source = """extern "C" __global__ void fma_f32(float* out, float b) {
        float x = b; for (int i = 0; i < 256; ++i) x = fmaf(x, b, b); out[0] = 1.0f; }"""
    wrong = sass.lint(code_of(sass, nvdisasm, source))
    assert wrong == ["fma_f32: 0 of at least 256 instructions FFMA\\b"]


def test_the_lint_sees_local_memory(sass, nvdisasm):
    """An array indexed at run time stands in local memory, and the lint says so."""
    source = """extern "C" __global__ void spills(int* out, int n) {
        int a[64]; for (int i = 0; i < n; ++i) a[(i * 7) % 64] = out[i]; out[0] = a[n % 64]; }"""
    (line,) = sass.lint(code_of(sass, nvdisasm, source))
    assert line.startswith("spills:")
    assert line.endswith("accesses to local memory")


def test_fp8_by_mma_sync_is_no_fp8_on_hopper(sass, nvdisasm):
    """The compiler takes it for sm_90 and emits no FP8 instruction: why that kernel is left out there."""
    source = images.source("mma").replace("__CUDA_ARCH__ == 890", "1")
    compiler = compiler_for("90")
    code = sass.disassemble(compiler.compile(source, "90", headers=images.headers()), nvdisasm)
    assert any("QMMA" in line for line in sass.lint({"mma_fp8": code["mma_fp8"]}))


def test_release_images_are_the_same_bytes_each_time(tool, tmp_path, monkeypatch):
    """Two builds without a common cache agree in every hash, and the manifest names every file."""
    build_images = tool("build_images")
    monkeypatch.setattr(build_images, "targets", lambda: [("timing", "90", "cubin"), ("timing", "80", "ptx")])
    hashes = []
    for place in ("one", "two"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache-{place}"))
        hashes.append(build_images.build(tmp_path / place, compiler_for("75")))
        files = {path.name for path in (tmp_path / place).iterdir()}
        assert files == {*hashes[-1], images.MANIFEST}
    assert hashes[0] == hashes[1]


def test_a_release_has_every_unit_for_every_architecture(tool):
    """Machine code for all, and PTX of what is not one architecture's own."""
    targets = tool("build_images").targets()
    assert len(set(targets)) == len(targets) == 38 + 4 * 2
    assert ("wgmma", "90a", "cubin") in targets
    assert ("wgmma", "90", "cubin") not in targets
