"""Torch's packed kernels are used while torch has them, and what needs them says so afterwards."""

import warnings

import pytest
import torch
from torch import nn

from workloads.base import UnsupportedError
from workloads.compress import torch_int8


@pytest.fixture
def gone(monkeypatch):
    """Take from torch's kernels the type that it announces to remove, as `torch_int8` sees it."""
    monkeypatch.setattr(torch_int8, "NEEDED", ("qint8_of_before",))


def test_this_torch_has_them_and_says_nothing_of_their_end():
    """Its warning is for who chose the kernels, not for the user; afterwards warnings are as before."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch_int8.packed() as quantization:
            made = quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 8)), {nn.Linear}, torch.qint8)
        with pytest.raises(UserWarning, match="later"):
            warnings.warn("later", UserWarning, stacklevel=1)
    assert type(made[0]) is not nn.Linear


@pytest.mark.usefixtures("gone")
def test_a_torch_without_them_multiplies_by_torchao(make, compressor):
    """The same compression by its other kernels, named in the record."""
    work = make("mlp", "infer")
    model = nn.ModuleDict({"only": nn.Linear(64, 32, bias=False)}).requires_grad_(requires_grad=False)
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    before = model["only"](x)
    model, evidence = compressor("int8_dynamic").compress(work, model)
    assert evidence["kernel"] == "torchao"
    assert float((model["only"](x) - before).abs().max()) < 0.05 * float(before.abs().max())


@pytest.mark.usefixtures("gone")
def test_what_torchao_lacks_is_refused_with_the_reason(make, compressor):
    """Recurrent layers have no other kernel."""
    work = make("lstm", "generate", batch=2, prompt=8)
    with pytest.raises(UnsupportedError, match="has no packed int8 kernels, older ones have"):
        compressor("int8_recurrent").compress(work, work.build_model().eval())
