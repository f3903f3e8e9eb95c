"""Inference, prefill, decode and generation under XLA give torch's outputs."""

import pytest
import torch

from workloads.jax.inference import choose

pytestmark = pytest.mark.xla


@pytest.mark.parametrize(("name", "mode"), [("mlp", "infer"), ("gpt", "prefill"), ("llama", "decode")])
def test_outputs_are_torchs(both, workload, name, mode):
    """To fp32's last places; decode writes its cache in place, step after step."""
    ours, theirs = both(workload(name, mode), steps=4)
    torch.testing.assert_close(ours.output(), theirs.output(), atol=2e-5, rtol=1e-4)
    assert ours.kv_cache_bytes == theirs.kv_cache_bytes
    assert ours.units(0) == theirs.units(0)


@pytest.mark.parametrize("name", ["gpt", pytest.param("llama", marks=pytest.mark.slow)])
def test_greedy_generation_gives_the_same_tokens(both, workload, name):
    """Prompt and first token are one program, all tokens after it another; a mark comes between them."""
    marks = []
    ours, theirs = both(workload(name, "generate"), steps=2, mark=marks.append, top_k=1)
    assert torch.equal(ours.output().long(), theirs.output())
    assert ours.output().shape == (4, 4)
    assert marks == ["first_token"] * 2


def test_a_draw_has_the_distribution_of_its_logits(xla):
    """Over the `top_k` best alone, at a temperature."""
    import jax
    import jax.numpy as jnp

    logits = jnp.log(jnp.array([0.1, 0.2, 0.3, 0.4]))
    rows = jnp.tile(logits, (20_000, 1))
    drawn = choose(rows, jax.random.key(0), 1.0, 2)
    shares = jnp.bincount(drawn, length=4) / len(rows)
    assert shares[0] == shares[1] == 0
    assert abs(float(shares[3]) - 4 / 7) < 0.02
    assert int(choose(rows, jax.random.key(0), 1.0, 1)[0]) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *(
            (name, mode)
            for name in ("gpt", "llama", "moe", "mamba")
            for mode in ("prefill", "decode", "generate")
        ),
        *((name, "generate") for name in ("translation", "lstm")),
    ],
)
def test_every_language_model_in_every_mode(both, workload, name, mode):
    """The tokens, or the logits, of torch."""
    ours, theirs = both(workload(name, mode), steps=2, top_k=1)
    if mode == "generate":
        assert torch.equal(ours.output().long(), theirs.output())
    else:
        torch.testing.assert_close(ours.output(), theirs.output(), atol=2e-5, rtol=1e-4)
