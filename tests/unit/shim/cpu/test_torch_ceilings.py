"""Ceilings through torch: labelled as a library's, and their results proved."""

from harness.shim.cpu import ceilings, torch_ceilings
from harness.system import native


def test_a_wrong_product_is_seen():
    """Freivalds' check passes a right product and sees one wrong element."""
    import torch

    seeded = torch.Generator().manual_seed(0)  # what other tests drew must not matter
    a, b = (torch.randn(32, 32, generator=seeded) for _ in range(2))
    product = a @ b
    assert torch_ceilings.product_error(a, b, product) < 1e-5
    product[3, 4] += 10.0
    assert torch_ceilings.product_error(a, b, product) > 1e-3


def test_without_a_compiler_every_ceiling_is_the_librarys_or_says_why_not(monkeypatch):
    """No compiler: the triad is torch's and labelled so; nothing is silently something else."""
    monkeypatch.setattr(torch_ceilings, "_SIZES", {"fp32": 32, "bf16": 32})
    monkeypatch.setattr(ceilings, "QUICK", ceilings.Effort(reps=2, arrays_bytes=12 * 1024, ring_bytes=4096))

    def no_compiler():
        raise native.NotBuiltError("no C compiler for the cpu library")

    monkeypatch.setattr(ceilings.routines, "library", no_compiler)
    found = ceilings.measure(quick=True)
    assert found.facts["routines"] == "library"
    assert "no C compiler" in found.facts["reason"]
    assert found.bandwidth_b_s is not None
    for ceiling in found.entries:
        if ceiling.value is None:
            assert "compiler" in ceiling.reason
        else:
            assert ceiling.method.startswith("library ceiling")
