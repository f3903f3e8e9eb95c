"""What a trial says of its quality, and when it says nothing."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from harness.config.models import Config
from harness.trial.passes import quality
from workloads import registry
from workloads.base import UnsupportedError
from workloads.engine.quality import Quality
from workloads.engine.setup import Setup
from workloads.parallel.base import Ranks

GPT = registry.get("gpt")("decode", registry.get("gpt").spec.sizes["tiny"])


def quality_metrics(monkeypatch, found) -> dict[str, tuple[float | None, str | None]]:
    """Return the metrics of a comparison that ends in `found`, a result or an error."""

    def measure(_workload, _setup):
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("workloads.engine.quality.measure", measure)
    return {m.id: (m.value, m.reason) for m in quality.metrics(GPT, Setup(), 100)[0]}


def judged(*figures: float | None, trained: bool = False, parameters: int = 100) -> Quality:
    """Return the result of a comparison."""
    sqnr_db, agreement, perplexity, reference = figures
    assert sqnr_db is not None
    return Quality(sqnr_db, agreement, perplexity, reference, trained=trained, parameters=parameters)


def test_every_figure_that_applies_is_a_metric(monkeypatch):
    """A model without classes or text has none of theirs."""
    whole = quality_metrics(monkeypatch, judged(30.0, 0.9, 8.0, 7.5, trained=True))
    assert whole == {
        "quality.sqnr": (30.0, None),
        "quality.agreement": (0.9, None),
        "quality.perplexity": (8.0, None),
        "quality.perplexity.fp32": (7.5, None),
    }
    assert set(quality_metrics(monkeypatch, judged(30.0, None, None, None))) == {"quality.sqnr"}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (judged(math.inf, None, None, None), "no output differs"),
        (judged(math.nan, None, None, None), "the outputs are not finite"),
        (UnsupportedError("it has no outputs"), "it has no outputs"),
        (RuntimeError("out of\n memory"), "RuntimeError: out of memory"),
    ],
)
def test_what_cannot_be_told_has_its_reason(monkeypatch, found, reason):
    """Infinity is no number of a record, and a failure costs no other metric."""
    assert quality_metrics(monkeypatch, found)["quality.sqnr"] == (None, reason)


def test_a_perplexity_that_is_not_finite_is_no_number(monkeypatch):
    """A spoiled model may have none."""
    found = quality_metrics(monkeypatch, judged(1.0, 0.5, math.inf, 8.0, trained=True))
    assert found["quality.perplexity"] == (None, "the outputs are not finite")


def test_the_quality_of_a_model_of_another_size_is_not_this_trial_s(monkeypatch):
    """Trained and random weights may be cut to different ranks: speed and error must be of one model."""
    found = quality_metrics(monkeypatch, judged(20.0, 0.7, 9.2, 8.9, trained=True, parameters=1_000))
    assert list(found) == ["quality.sqnr"]
    value, reason = found["quality.sqnr"]
    assert value is None
    assert reason is not None
    assert reason.startswith("the trained weights keep 1,000 parameters, those of this trial 100")


def test_ranks_do_not_build_the_whole_model_for_it():
    """It may not fit one of them."""
    made, proof = quality.metrics(GPT, Setup(ranks=Ranks(0, 2)), 100)
    assert made[0].value is None
    assert "parallel=none" in proof["quality"]["reason"]


def test_only_a_model_that_could_differ_is_compared():
    """The fp32 model without compression is its own reference."""
    plain = {"workload": {"name": "gpt"}}
    assert not quality.wanted(Config.model_validate(plain))
    assert quality.wanted(Config.model_validate(plain | {"precision": {"name": "bf16"}}))
    assert quality.wanted(Config.model_validate(plain | {"compress": {"name": "prune"}}))


@pytest.mark.parametrize(
    ("name", "trained", "said"), [("gpt", True, "trained"), ("gpt", False, "random"), ("user", False, "own")]
)
def test_the_record_says_whose_weights_were_judged(monkeypatch, name, trained, said):
    """A model that the user brings may well be trained."""
    monkeypatch.setattr(
        "workloads.engine.quality.measure", lambda *_: judged(30.0, None, None, None, trained=trained)
    )
    workload = SimpleNamespace(spec=SimpleNamespace(name=name))
    assert quality.metrics(workload, Setup(), 100)[1] == {"quality": {"weights": said}}
