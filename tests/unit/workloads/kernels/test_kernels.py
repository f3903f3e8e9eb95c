"""Our C kernels against products in fp64: every shape, format and number of threads."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.system import native
from workloads.base import UnsupportedError
from workloads.engine.build import build
from workloads.engine.setup import Chosen, Setup
from workloads.kernels import library
from workloads.kernels.attention import attend
from workloads.kernels.linear import FEW, FewRowsLinear, linear
from workloads.kernels.packed import Int4Linear, Int8Linear, Int8Table

pytestmark = pytest.mark.usefixtures("kernels")
HALF = {torch.float32: 2e-6, torch.bfloat16: 4e-3}
"""Relative error of a result in each format."""


@pytest.fixture
def _packs(kernels):
    if not library.packs():
        pytest.skip("no AVX-512 VNNI")


def error(found, expected):
    """Relative error in the 2-norm."""
    return float((found.double() - expected).norm() / expected.norm())


def called(monkeypatch, name="run"):
    """Count the calls of kernels."""
    calls = []
    for module in ("linear", "packed", "attention", "block"):
        place = f"workloads.kernels.{module}.run"
        whole = __import__(f"workloads.kernels.{module}", fromlist=["run"]).run
        monkeypatch.setattr(place, lambda *given, whole=whole: (calls.append(given[0]), whole(*given)))
    return calls


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("rows", "out", "width"), [(1, 33, 100), (3, 16, 768), (8, 5, 7), (1, 1, 640), (7, 9, 200)]
)
def test_few_rows_times_a_matrix(monkeypatch, dtype, threads, rows, out, width):
    """Any side, with a bias and without, on torch's own threads."""
    torch.set_num_threads(threads)
    random = torch.Generator().manual_seed(0)
    x, w, b = (torch.randn(*s, generator=random).to(dtype) for s in ((rows, width), (out, width), (out,)))
    calls = called(monkeypatch)
    for bias in (None, b):
        expected = F.linear(x.double(), w.double(), None if bias is None else bias.double())
        assert error(linear(x, w, bias), expected) < HALF[dtype]
    assert len(calls) == 2


def test_a_row_s_product_does_not_depend_on_its_neighbours():
    """So that a sequence's tokens are the same whoever shares its batch, up to FEW rows."""
    for dtype, few in FEW.items():
        for rows, width in ((2, 99), (3, 99), (6, 99), (few, 99), (1, 13000), (2, 7000), (3, 7000)):
            x, w = torch.randn(rows, width).to(dtype), torch.randn(50, width).to(dtype)
            together = linear(x, w)
            assert all(torch.equal(linear(x[i : i + 1], w)[0], together[i]) for i in range(rows))


def test_torch_multiplies_what_the_kernel_must_not():
    """Gradients, many rows, other formats, transposed memory."""
    with torch.inference_mode(mode=False):
        layer = nn.Linear(32, 16)
        layer.__class__ = FewRowsLinear
        x = torch.randn(2, 32, requires_grad=True)
        layer(x).sum().backward()
        assert x.grad is not None
    for x in (torch.randn(FEW[torch.float32] + 1, 32), torch.randn(32, 2).T):
        torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))


@pytest.mark.usefixtures("_packs")
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("rows", "out", "width"), [(1, 48, 64), (3, 37, 96), (40, 16, 256), (2, 50, 3072)])
@pytest.mark.parametrize("make", [Int8Linear, lambda w, b: Int4Linear(w, b, 32)])
def test_packed_weights_multiply_exactly_as_what_they_stand_for(dtype, threads, rows, out, width, make):
    """Products in the format of x: the kernel's fixed point loses nothing of it; x may have outliers."""
    torch.set_num_threads(threads)
    random = torch.Generator().manual_seed(1)
    w, b = torch.randn(out, width, generator=random), torch.randn(out, generator=random)
    x = torch.randn(rows, width, generator=random)
    x[:, 3] *= 50
    x, layer = x.to(dtype), make(w, b)
    expected = F.linear(x.double(), layer.weight.double(), b.double())
    assert error(layer(x), expected) < HALF[dtype]


@pytest.mark.usefixtures("_packs")
def test_what_packing_loses_is_half_a_step():
    """int8: a 254th of a row's range; int4: half a fifteenth of a group's, and its scale in bf16."""
    w = torch.randn(20, 128)
    step = w.abs().amax(1, keepdim=True) / 127
    assert ((Int8Linear(w).weight - w).abs() <= step * 0.5001).all()
    groups = w.view(20, 4, 32)
    step = (groups.amax(2) - groups.amin(2)) / 15
    lost = (Int4Linear(w, None, 32).weight - w).view(20, 4, 32).abs().amax(2)
    assert (lost <= 0.5 * step + 0.02 * groups.abs().amax(2)).all()


@pytest.mark.usefixtures("_packs")
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("make", [Int8Linear, lambda w: Int4Linear(w, None, 16)])
def test_the_largest_number_of_any_row_fits(dtype, make):
    """Its quotient by itself rounds to either side of the fixed point's end, in a thousand rows each way."""
    random = torch.Generator().manual_seed(2)
    layer = make(torch.randn(16, 16, generator=random))
    for x in torch.randn(2000, 1, 16, generator=random).to(dtype):
        assert error(layer(x), F.linear(x.double(), layer.weight.double())) < 4 * HALF[dtype]


@pytest.mark.usefixtures("_packs")
@pytest.mark.parametrize("spoilt", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("make", [Int8Linear, lambda w: Int4Linear(w, None, 16)])
def test_a_row_that_is_no_number_gives_none(spoilt, make):
    """As in torch's product; the row beside it stays right."""
    x = torch.ones(2, 32)
    x[0, 5] = spoilt
    layer = make(torch.randn(16, 32))
    bad, good = layer(x)
    assert bad.isnan().all()
    torch.testing.assert_close(good, layer.weight.sum(1), rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("_packs")
def test_zeros_stay_zeros():
    """A row or an input without any magnitude divides by nothing."""
    layer = Int8Linear(torch.zeros(16, 32))
    assert not layer(torch.randn(1, 32)).any()
    assert not Int8Linear(torch.randn(16, 32))(torch.zeros(1, 32)).any()
    assert not Int4Linear(torch.zeros(16, 32), None, 32)(torch.randn(1, 32)).any()


@pytest.mark.usefixtures("_packs")
@pytest.mark.parametrize("dtype", HALF)
def test_a_table_looks_up_as_torch_s_indexing_does(monkeypatch, dtype):
    """In one call, rounded as torch rounds; tokens that lie apart in memory; 32-bit ones are torch's."""
    packed = Int8Table(nn.Embedding(50, 64, dtype=dtype))
    tokens, calls = torch.tensor([[0, 49, 7], [17, 3, 16]]), called(monkeypatch)
    for asked in (tokens, tokens.T, tokens[:, :1], tokens.int()):
        assert torch.equal(packed(asked), packed.weight[asked.long()])
    assert calls == ["rows_i8"] * 3
    for beyond in (50, -1, 1 << 40):
        with pytest.raises(IndexError, match="row that the table has not"):
            packed(torch.tensor([[1, beyond]]))


@pytest.mark.usefixtures("_packs")
def test_a_table_looks_up_and_projects_the_same_weights():
    """Words of any number: 50 are no whole blocks."""
    torch.manual_seed(3)
    table = nn.Embedding(50, 64)
    packed = Int8Table(table)
    tokens = torch.tensor([[0, 49], [17, 3]])
    torch.testing.assert_close(packed(tokens), packed.weight[tokens])
    x = torch.randn(2, 64)
    torch.testing.assert_close(packed.project(x), F.linear(x, packed.weight), rtol=1e-5, atol=1e-5)
    assert packed.project(x).shape == (2, 50)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(("heads", "kv_heads", "size"), [(4, 4, 16), (12, 4, 64), (2, 1, 256)])
def test_a_query_attends_to_its_own_keys(monkeypatch, dtype, heads, kv_heads, size):
    """Sequences of unlike lengths side by side, keys that queries share, large scores."""
    random = torch.Generator().manual_seed(2)
    q = (torch.randn(3, heads, 1, size, generator=random) * 4).to(dtype)
    k, v = (torch.randn(3, kv_heads, 40, size, generator=random).to(dtype) for _ in range(2))
    lengths, calls = torch.tensor([1, 17, 40]), called(monkeypatch)
    mask = (torch.arange(40) < lengths[:, None])[:, None, None]
    whole = [t.double() for t in (q, k, v)]
    expected = F.scaled_dot_product_attention(*whole, attn_mask=mask, enable_gqa=True)
    assert error(attend(q, k, v, lengths=lengths, enable_gqa=True), expected) < HALF[dtype]
    expected = F.scaled_dot_product_attention(*whole, enable_gqa=True)
    assert error(attend(q, k, v, enable_gqa=True), expected) < HALF[dtype]
    assert calls == ["attend", "attend"]


@pytest.mark.parametrize("name", ["gpt", "llama", "moe", "mamba"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_models_decode_the_same_logits(make, monkeypatch, name, precision):
    """With our kernels and without, from the same weights and the same cache."""
    work, logits = make(name, "decode"), []
    for build_c in (None, native.load):
        library.build_with(build_c)
        built = build(work, Setup(precision=precision))
        calls = called(monkeypatch)
        tokens = work.make_batch(0)["tokens"]
        _, cache = work.prefill(built.model, {"tokens": tokens}, tokens.shape[1] + 1)
        logits.append(work.decode(built.model, tokens[:, -1].contiguous(), cache)[0])
        assert bool(calls) == (build_c is not None)
        assert built.evidence["products"].startswith("torch: nobody" if build_c is None else "joulemark C")
    bar = {"fp32": 1e-5, "bf16": 3e-2}[precision]
    assert error(logits[1], logits[0].double()) < bar


@pytest.mark.usefixtures("_packs")
@pytest.mark.parametrize("name", ["int8_weight", "int4_weight"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_quantised_models_use_them_where_they_can(make, name, precision):
    """fp16 has no kernel of ours: torchao's run, and the evidence says which."""
    from workloads.compress.registry import COMPRESSORS

    settings = {key: setting.default for key, setting in COMPRESSORS.get(name).spec.settings.items()}
    try:
        built = build(make("gpt", "decode"), Setup(precision=precision, compress=Chosen(name, settings)))
    except UnsupportedError as unsupported:
        pytest.skip(str(unsupported))
    ours = precision != "fp16"
    assert ("joulemark" in built.evidence["kernel"]) == ours
    assert (type(built.model.token) is Int8Table) == ours


def test_what_is_loaded_stays_for_the_same_compiler_alone():
    """A forked worker asks for the kernels that its server has loaded already."""
    asked = []

    def one(*given):
        asked.append("one")
        return native.load(*given)

    def other(*given):
        asked.append("other")
        return native.load(*given)

    for build_c in (one, one, other, other):
        library.build_with(build_c)
        assert library.library() is not None
    assert asked == ["one", "other"]


def test_a_compiler_that_fails_leaves_torch_s_kernels():
    """And the reason is kept for the record."""

    def broken(*_given):
        raise OSError("no compiler")

    library.build_with(broken)
    assert (library.library(), library.missing(), library.packs()) == (None, "no compiler", False)


def test_a_layer_is_called_as_torch_s_own_is():
    """By position or by torch's name for its argument, which a user's model may use."""
    layer, x = torch.nn.Linear(4, 3), torch.randn(2, 4)
    plain = layer(input=x)
    layer.__class__ = FewRowsLinear
    torch.testing.assert_close(layer(input=x), plain)
    torch.testing.assert_close(layer(x), plain)


class Quantised(torch.Tensor):
    """A weight that is a class of its own, as torchao's are: it has no memory that C could read."""


def test_c_reads_no_weight_that_is_a_class_of_its_own(monkeypatch):
    """Torch multiplies by it instead, whatever it is."""
    calls = called(monkeypatch)
    x, weight = torch.randn(2, 16), torch.randn(4, 16)
    linear(x, weight.as_subclass(Quantised))
    assert not calls
    linear(x, weight)
    assert calls == ["linear_f32"]


def test_rows_of_another_width_are_refused_as_torch_refuses_them():
    """C would read beyond its input."""
    with pytest.raises(RuntimeError, match="shapes"):
        linear(torch.randn(2, 8), torch.randn(4, 16))
