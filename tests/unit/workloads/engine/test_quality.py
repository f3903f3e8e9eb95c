"""The error of a model against its fp32 reference: equations by hand, and every workload's outputs."""

from __future__ import annotations

import math

import pytest
import torch

from workloads.base import TRAINING, UnsupportedError
from workloads.compress.registry import COMPRESSORS
from workloads.engine import quality, trained
from workloads.engine.job import prepare
from workloads.engine.quality import agreement, measure, sqnr_db
from workloads.engine.setup import Chosen, Setup
from workloads.inputs.sources import SHIPPED
from workloads.transform import resolve_settings


def test_the_ratio_of_signal_to_noise_is_in_decibels():
    """A hundredth of the amplitude is 40 dB; nothing at all is infinite; no signal is none."""
    reference = torch.tensor([3.0, -4.0], dtype=torch.float64)
    assert sqnr_db(reference, reference * 1.01) == pytest.approx(40.0)
    assert sqnr_db(reference, reference) == math.inf
    assert sqnr_db(torch.zeros(2), torch.ones(2)) == -math.inf


def test_agreement_is_the_share_of_equal_first_choices():
    """Three rows of four choose alike."""
    reference = torch.eye(4)
    found = reference.clone()
    found[3] = torch.tensor([9.0, 0.0, 0.0, 1.0])
    assert agreement(reference, found) == 0.75


def test_every_workload_has_outputs_to_compare(case, make):
    """In bf16 a model differs from itself in fp32, and not by much."""
    found = measure(make(*case), Setup(precision="bf16"))
    assert 10 < found.sqnr_db < 80
    if found.agreement is not None:
        assert 0.5 <= found.agreement <= 1.0


def test_the_reference_agrees_with_itself(make):
    """The same model twice: no noise, full agreement, one perplexity."""
    found = measure(make("gpt", "prefill"), Setup())
    assert (found.sqnr_db, found.agreement) == (math.inf, 1.0)
    assert found.perplexity == found.reference_perplexity
    assert found.trained


def test_a_spoiled_model_is_told_by_its_perplexity(make, monkeypatch):
    """Weights rounded to a coarse grid cost perplexity, signal and agreement."""
    load = trained.load
    calls = []

    def spoil(model):
        load(model)
        calls.append(model)
        if len(calls) == 2:  # the reference is built first
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.copy_((parameter * 8).round() / 8)

    monkeypatch.setattr(quality.trained, "load", spoil)
    found = measure(make("gpt", "train"), Setup())
    assert found.perplexity > 1.05 * found.reference_perplexity
    assert found.sqnr_db < 20
    assert found.agreement < 0.95


def test_the_trained_model_has_learned_what_it_never_read(make):
    """Its perplexity on the held-out text is far below that of random weights: about the vocabulary."""
    workload = make("gpt", "train")
    batch = trained.held_out(96)
    perplexities = {}
    for name in ("random", "trained"):
        torch.manual_seed(0)
        model = workload.build_model()
        if name == "trained":
            trained.load(model)
        with torch.inference_mode():
            perplexities[name] = math.exp(workload.loss(model, batch).item())
    assert perplexities["random"] > 200
    assert perplexities["trained"] < 12


def test_the_weights_are_small_enough_to_be_kept_here():
    """At most 4 MB, read without pickle."""
    assert trained.WEIGHTS.suffix == ".safetensors"
    assert trained.WEIGHTS.stat().st_size <= 4_000_000


def test_the_held_out_text_is_apart_from_what_was_read():
    """Both parts are the shipped text, and the windows do not overlap."""
    read, unseen = trained.parts_of_text()
    assert read + unseen == SHIPPED.read_bytes()
    batch = trained.held_out(32)
    assert batch["tokens"].flatten()[1:].tolist() == batch["targets"].flatten()[:-1].tolist()
    assert bytes(batch["tokens"].flatten().tolist()) == unseen[: batch["tokens"].numel()]


def test_trained_weights_fit_one_shape_alone(make):
    """Another depth or width has weights of its own."""
    assert trained.fits(make("gpt", "decode", batch=1))
    assert not trained.fits(make("gpt", "decode", layers=3))
    assert not trained.fits(make("llama", "decode"))


def test_training_is_judged_under_its_autocast(make):
    """The weights stay in fp32; the forward pass is in bf16, as in the trial."""
    assert "train" in TRAINING
    for precision in ("bf16", "fp16"):
        assert math.isfinite(measure(make("gpt", "train"), Setup(precision=precision)).sqnr_db)


def compressed(name, *, precision="fp32", **settings):
    """Return a setup with a compressor, its settings over the defaults."""
    return Setup(
        precision=precision, compress=Chosen(name, resolve_settings(COMPRESSORS.get(name).spec, settings))
    )


def test_outside_training_the_trained_weights_run_themselves(make):
    """So that the model that is measured is the one that is judged: of the same ranks, too."""
    workload, setup = make("gpt", "prefill"), compressed("svd")
    job, found = prepare(workload, setup), measure(workload, setup)
    assert found.trained
    assert found.parameters == job.parameters < 400_000
    read = make("gpt", "train").build_model()
    trained.load(read)
    assert torch.equal(prepare(workload, Setup()).model.state_dict()["norm.weight"], read.norm.weight)


def test_training_begins_from_random_weights(make):
    """Its first loss is that of a model that knows nothing: ln 256 = 5.5."""
    job = prepare(make("gpt", "train"), Setup())
    job.step(0, lambda _mark: None)
    assert job.losses()[0] > 5.4


@pytest.mark.parametrize(
    ("name", "work", "mode"),
    [
        ("average", "gpt", "prefill"),
        ("ensemble", "resnet", "infer"),
        ("distill", "gpt", "decode"),
        ("lora", "gpt", "train"),
        ("adalora", "gpt", "train"),
        ("adapters", "gpt", "train"),
        ("prefix", "t5", "train"),
        ("aggregate_gradients", "gpt", "train"),
    ],
)
def test_what_training_has_yet_to_make_is_not_judged(make, name, work, mode):
    """Random members, an untrained student and added weights of no effect have no error worth a number."""
    with pytest.raises(UnsupportedError, match="train"):
        measure(make(work, mode), compressed(name))


def test_the_error_of_a_precision_is_told_where_the_compressor_adds_none(make):
    """A frozen model beside LoRA in bf16 errs as it does alone; fused random ones still tell nothing."""
    workload = make("gpt", "train")
    alone = measure(workload, Setup(precision="bf16"))
    assert measure(workload, compressed("lora", precision="bf16")).sqnr_db == pytest.approx(
        alone.sqnr_db, abs=0.5
    )
    with pytest.raises(UnsupportedError, match="trained apart"):
        measure(workload, compressed("average", precision="bf16"))


def test_static_scales_come_of_the_text_that_was_trained_on(make):
    """Calibration reads neither noise nor the part that judges."""
    reader = trained.reader(make("gpt", "prefill"))
    for row in reader.make_batch(1000)["tokens"].tolist():
        assert bytes(row) in trained.parts_of_text()[0]


@pytest.mark.parametrize("work", ["llama", "moe"])
def test_a_layer_may_see_rows_or_sequences(make, work):
    """The output layer reads one position in the trial, and all of them where it is judged."""
    found = measure(make(work, "decode"), compressed("int8_static"))
    assert found.sqnr_db > 20
