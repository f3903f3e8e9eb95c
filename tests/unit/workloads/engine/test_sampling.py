from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from harness.config.models import WorkloadConfig
from workloads.engine.generation import sample


def generator(seed: int = 0) -> torch.Generator:
    """Return a seeded generator."""
    return torch.Generator().manual_seed(seed)


def frequencies(logits: torch.Tensor, rows: int = 40_000, **options) -> torch.Tensor:
    """Return how often each token is drawn."""
    drawn = sample(logits.expand(rows, -1), generator=generator(), **options)
    return torch.bincount(drawn, minlength=logits.numel()) / rows


def test_draws_follow_the_softmax():
    """Frequencies are within five standard deviations of the probabilities."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    p = logits.softmax(-1)
    deviation = (p * (1 - p) / 40_000).sqrt()
    assert bool(((frequencies(logits, temperature=1.0, top_k=None) - p).abs() < 5 * deviation).all())


def test_temperature_divides_the_logits():
    """At temperature 2 the draws follow softmax(logits / 2)."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    p = (logits / 2).softmax(-1)
    deviation = (p * (1 - p) / 40_000).sqrt()
    assert bool(((frequencies(logits, temperature=2.0, top_k=None) - p).abs() < 5 * deviation).all())


def test_top_k_draws_from_the_k_best_alone():
    """The others have no chance; the best share the probability as before."""
    logits = torch.tensor([0.0, 3.0, 1.0, 2.0])
    found = frequencies(logits, temperature=1.0, top_k=2)
    assert found[0] == found[2] == 0
    assert abs(float(found[1] / found[3]) - 2.718) < 0.15


def test_top_k_of_one_is_greedy_whatever_the_seed():
    """No draw is made."""
    logits = torch.randn(8, 50)
    for seed in range(3):
        drawn = sample(logits, temperature=0.5, top_k=1, generator=generator(seed))
        assert torch.equal(drawn, logits.argmax(-1))


def test_a_top_k_beyond_the_vocabulary_is_the_whole_vocabulary():
    """Large k and none draw the same."""
    logits = torch.randn(8, 5)
    draws = [sample(logits, temperature=1.0, top_k=k, generator=generator(3)) for k in (None, 5, 99)]
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2])


def test_equal_seeds_draw_equal_tokens():
    """The generator alone decides."""
    logits = torch.zeros(64, 100)
    one, again, other = (
        sample(logits, temperature=1.0, top_k=None, generator=generator(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_half_precision_logits_are_drawn_in_single():
    """bf16 logits give tokens too."""
    logits = torch.randn(4, 30).bfloat16()
    assert sample(logits, temperature=1.0, top_k=5, generator=generator()).shape == (4,)


def test_the_coldest_temperature_that_is_allowed_is_greedy():
    """Logits of thousands stay finite there: nothing is infinity over infinity."""
    coldest = next(m.ge for m in WorkloadConfig.model_fields["temperature"].metadata if hasattr(m, "ge"))
    logits = 1e4 * torch.randn(64, 50)
    drawn = sample(logits, temperature=coldest, top_k=None, generator=generator())
    assert torch.equal(drawn, logits.argmax(-1))
    with pytest.raises(ValidationError, match="temperature"):
        WorkloadConfig(name="gpt", temperature=coldest / 2)
