"""Operators of our own are torch's, on their own."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from workloads.jax.bridge import OPERATORS, _removed_operators, environment, versions_refusal

pytestmark = pytest.mark.xla


def lowered(function, *tensors, **named):
    """Run a function of torch under the bridge; return an array."""
    env = environment()
    given = env.j2t_iso(env.t2j_copy(tensors))
    extra = {k: env.j2t_iso(env.t2j_copy(v)) if isinstance(v, torch.Tensor) else v for k, v in named.items()}
    with env:
        made = function(*given, **extra)
    return np.asarray(env.t2j_iso(made))


@pytest.fixture(autouse=True)
def _seed(xla):
    torch.manual_seed(0)


@pytest.mark.parametrize("named", [{}, {"is_causal": True}, {"scale": 0.3}, {"enable_gqa": True}])
def test_attention(named):
    """Causal or not, scaled, and with heads that share keys."""
    q = torch.randn(2, 4, 6, 8)
    k, v = torch.randn(2, 2, 2 if named.get("enable_gqa") else 4, 6, 8)
    expected = F.scaled_dot_product_attention(q, k, v, **named)
    made = lowered(F.scaled_dot_product_attention, q, k, v, **named)
    np.testing.assert_allclose(made, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("mask", [torch.rand(6, 6) > 0.4, torch.randn(6, 6)])
def test_attention_under_a_mask(mask):
    """Of booleans, or added to the scores."""
    mask = mask.clone()
    mask[:, 0] = True if mask.dtype == torch.bool else 0.5
    q, k, v = torch.randn(3, 2, 4, 6, 8)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    made = lowered(F.scaled_dot_product_attention, q, k, v, attn_mask=mask)
    np.testing.assert_allclose(made, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("offsets", [None, torch.tensor([0, 2, 2, 5])])
@pytest.mark.parametrize("padding_idx", [None, 3])
def test_embedding_bags(mode, offsets, padding_idx):
    """Bags of one length or by offsets, an empty one among them; padding counts for nothing."""
    table = torch.randn(7, 4)
    rows = torch.tensor([1, 3, 3, 0, 6, 3, 2, 5])
    rows = rows.view(2, 4) if offsets is None else rows
    named = {"mode": mode, "padding_idx": padding_idx}
    expected = F.embedding_bag(rows, table, offsets, **named)
    more = {} if offsets is None else {"offsets": offsets}
    np.testing.assert_allclose(lowered(F.embedding_bag, rows, table, **more, **named), expected, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN])
def test_recurrent_networks(kind):
    """Outputs and the last state of two layers; one scan, where torchax would unroll."""
    from workloads.jax.stateless import Stateless

    model, x = kind(5, 6, 2, batch_first=True), torch.randn(3, 7, 5)
    expected, state = model(x)
    stateless = Stateless(model)
    weights = stateless.state()
    (made, last), _ = stateless.call(lambda m, x: m(x), weights.trained, weights.carried, stateless.array(x))
    np.testing.assert_allclose(np.asarray(made), expected.detach(), atol=1e-6)
    several = kind is torch.nn.LSTM
    for ours, theirs in zip(last if several else [last], state if several else [state], strict=True):
        np.testing.assert_allclose(np.asarray(ours), theirs.detach(), atol=1e-6)


def test_grouped_products():
    """Each row by its group's matrix; a group may be empty."""
    x, weight = torch.randn(6, 8), torch.randn(3, 8, 4)
    ends = torch.tensor([2, 2, 6], dtype=torch.int32)
    expected = torch.cat([x[:2] @ weight[0], x[2:] @ weight[2]])
    np.testing.assert_allclose(lowered(F.grouped_mm, x, weight, offs=ends), expected, atol=1e-5)


def test_the_bridge_is_for_named_versions_alone():
    """What other versions need is not known, and they are refused rather than tried."""
    assert versions_refusal("2.13.0+cpu", "0.0.13") is None
    assert versions_refusal("2.13.0", "0.0.14") == "the adapter is for torchax 0.0.13, not 0.0.14"
    assert "not 2.16.0" in versions_refusal("2.16.0", "0.0.13")


def test_the_bridge_leaves_torch_as_it_was(xla):
    """What this torch has not is an error again once the environment is made."""
    environment()
    with pytest.raises(AttributeError):
        _ = torch.ops.aten.prod.no_such_names
    with pytest.raises(AttributeError):
        _ = torch.ops.aten.no_such_operator


def test_the_bridge_lets_in_what_was_removed_and_nothing_else():
    """A removed overload is an inert key, which no operator equals; a slip of ours stays an error."""
    with _removed_operators():
        name = torch.ops.aten.prod.no_such_names
        assert repr(name) == "<removed aten.prod.no_such_names>"
        assert name != torch.ops.aten.prod.default
        with pytest.raises(AttributeError):
            _ = torch.ops.aten.prod.no_such_overload
        with pytest.raises(AttributeError):
            _ = torch.ops.aten.no_such_operator


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_that_torch_has_is_itself(operator):
    """Before 2.15 they are there; since then they are inert."""
    had = getattr(torch.ops.aten, operator, None)
    with _removed_operators():
        found = getattr(torch.ops.aten, operator).default
    assert had is None or found is had.default
    assert (had is None) == repr(found).startswith("<removed ")
