"""Autoencoder, diffusion and word vectors: their equations by known answers."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import softplus

from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.inputs.sources import SHIPPED
from workloads.models.dit import waves
from workloads.models.maskgit import unmask


def job_of(workload):
    """Prepare a workload on the CPU with its own defaults."""
    return prepare(workload, Setup())


@torch.no_grad()
def test_the_variational_loss_is_error_and_divergence(make):
    """Against torch's own divergence of normal distributions, a number of the image."""
    workload = make("autoencoder", "train", variational=True)
    model, batch = workload.build_model(), workload.make_batch(0)
    made, mean, log_variance = model(batch["images"], batch["noise"])
    ours = torch.distributions.Normal(mean, (log_variance / 2).exp())
    divergence = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).sum()
    expected = ((made - batch["images"]) ** 2).mean() + divergence / batch["images"].numel()
    torch.testing.assert_close(workload.loss(model, batch), expected)


@torch.no_grad()
def test_noise_draws_the_vector_around_its_mean(make):
    """Without noise the mean itself is decoded; with noise it is mean + deviation · noise."""
    workload = make("autoencoder", "train", variational=True)
    model, batch = workload.build_model(), workload.make_batch(0)
    made, mean, log_variance = model(batch["images"], batch["noise"])
    drawn = mean + log_variance.exp().sqrt() * batch["noise"]
    torch.testing.assert_close(made, model.decoder(drawn))
    torch.testing.assert_close(model(batch["images"], None)[0], model.decoder(mean))
    assert made.shape == batch["images"].shape


def test_a_plain_autoencoder_takes_no_noise(make):
    """Its batch holds images alone, and its loss is the error alone."""
    workload = make("autoencoder", "train")
    model, batch = workload.build_model(), workload.make_batch(0)
    assert set(batch) == {"images"}
    error = (model(batch["images"], None)[0] - batch["images"]).square().mean()
    torch.testing.assert_close(workload.loss(model, batch), error)


class Oracle(torch.nn.Module):
    """Predicts the noise that it was told."""

    def __init__(self, noise):
        super().__init__()
        self.noise = noise

    def forward(self, images, steps, labels):
        """Return the noise for noise and variance."""
        return self.noise, self.noise


def test_a_perfect_model_denoises_exactly(make):
    """Given the true noise, the step ends on the same path from image to noise, a step earlier."""
    workload = make("dit", "infer")
    batch = workload.make_batch(0)
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(batch["images"].shape, generator=generator) for _ in range(2))
    kept, after = (batch[key][:, None, None, None] for key in ("kept", "next"))
    noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
    found = workload.infer(Oracle(noise), {**batch, "images": noisy})
    torch.testing.assert_close(found, after.sqrt() * clean + (1 - after).sqrt() * noise, rtol=1e-3, atol=1e-3)


def test_a_perfect_model_has_no_diffusion_loss(make):
    """The target is the noise that was mixed in."""
    for name, oracle in (("dit", Oracle), ("unet", NoiseOracle)):
        workload = make(name, "train")
        batch = workload.make_batch(0)
        assert float(workload.loss(oracle(batch["noise"]), batch)) == 0.0
        assert float(workload.loss(oracle(0 * batch["noise"]), batch)) == pytest.approx(1.0, abs=0.1)


class NoiseOracle(Oracle):
    """Predicts the noise alone."""

    def forward(self, images, steps):
        """Return the noise."""
        return self.noise


def test_the_unet_s_step_is_the_posterior_of_the_noisier_image(make):
    """Of clean and noisy image, by the shares of both (Ho et al. 2020, equation 7); new noise by β."""
    workload = make("unet", "infer")
    batch = workload.make_batch(0)
    kept, added = (batch[key].double()[:, None, None, None] for key in ("kept", "added"))
    before = kept / (1 - added)
    clean, noise = torch.randn(2, *batch["images"].shape, dtype=torch.float64)
    noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
    mean = before.sqrt() * added * clean + (1 - added).sqrt() * (1 - before) * noisy
    found = workload.infer(NoiseOracle(noise), {**batch, "images": noisy, "noise": torch.zeros(())})
    torch.testing.assert_close(found, mean / (1 - kept), rtol=1e-3, atol=1e-3)
    noisier = workload.infer(NoiseOracle(noise), {**batch, "images": noisy})
    torch.testing.assert_close(noisier - found, added.sqrt() * batch["noise"].double(), rtol=1e-3, atol=1e-4)


def test_the_unet_s_schedule_is_the_published_one(make):
    """Nearly all of the image is kept after the first step, and 4e-5 of its variance after the last."""
    workload = make("unet", "infer", batch=4096)
    batch = workload.make_batch(0)
    first, last = int(batch["steps"].argmin()), int(batch["steps"].argmax())
    assert float(batch["kept"][last]) == pytest.approx(4.04e-5, rel=0.1)
    assert float(batch["kept"][first]) > 0.999
    assert 1e-4 < float(batch["added"].min()) < float(batch["added"].max()) <= 0.02


@torch.no_grad()
def test_patches_come_out_where_they_went_in(make):
    """Each patch's numbers land on its own pixels, noise before variance."""
    model = make("dit", "infer").build_model()
    wanted = torch.randn(2, 8, 16, 16)
    patches = torch.nn.functional.unfold(wanted, 2, stride=2)  # (B, channels·high·wide, S)
    patches = patches.view(2, 8, 4, 64).permute(0, 3, 2, 1).flatten(2)
    model.out.forward = lambda _x: patches
    noise, variance = model(torch.randn(2, 4, 16, 16), torch.tensor([3, 500]), torch.tensor([0, 9]))
    assert torch.equal(noise, wanted[:, :4])
    assert torch.equal(variance, wanted[:, 4:])


def test_waves_tell_steps_apart():
    """Cosines before sines, the slowest 10000 times as long as the fastest."""
    found = waves(torch.tensor([0, 7]), 8)
    assert found[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    expected = [math.cos(7 * 10_000 ** (-i / 4)) for i in range(4)]
    expected += [math.sin(7 * 10_000 ** (-i / 4)) for i in range(4)]
    assert found[1].tolist() == pytest.approx(expected, abs=1e-6)


def test_neither_network_of_a_gan_learns_from_the_other_s_loss(make):
    """One's gradient is that of its own two passes, the other's that of passing for real."""
    workload = make("gan", "train")
    model, batch = workload.build_model(), workload.make_batch(0)
    workload.loss(model, batch).backward()
    together = [parameter.grad.clone() for parameter in model.parameters()]
    made = model.generator(batch["noise"][:, :, None, None])
    told = softplus(-model.discriminator(batch["images"])) + softplus(model.discriminator(made.detach()))
    passed = softplus(-model.discriminator(made)).mean()
    apart = [
        *torch.autograd.grad(passed, list(model.generator.parameters())),
        *torch.autograd.grad(told.mean(), list(model.discriminator.parameters())),
    ]
    for ours, expected in zip(together, apart, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-6)


def test_masked_training_predicts_what_is_masked_and_nothing_else(make):
    """The mask stands where a target does; the share is different for every picture."""
    workload = make("maskgit", "train", batch=64)
    batch = workload.make_batch(0)
    hidden = batch["tokens"] == 128
    assert torch.equal(hidden, batch["targets"] != -100)
    assert bool((batch["targets"][hidden] < 128).all())
    count = hidden.sum(1)
    assert 1 <= int(count.min()) < 20
    assert 50 < int(count.max()) <= 64
    assert float(count.float().mean()) == pytest.approx(64 * 2 / math.pi, rel=0.2)


def test_unmasking_keeps_the_surest_and_fills_the_rest(make):
    """A model that knows the picture, and is sure of the first positions first, makes it in any rounds."""
    picture = torch.arange(16).flip(0).expand(2, -1)
    seen = []

    def model(tokens, labels):
        seen.append(tokens.clone())
        sure = torch.linspace(20, 5, 16)[:, None]
        return sure * torch.nn.functional.one_hot(picture, 17)

    for rounds in (1, 4):
        seen.clear()
        found = unmask(
            model,
            torch.full((2, 16), 17),
            torch.zeros(2),
            torch.zeros(2, rounds, 16),
            mask=17,
            temperature=1.0,
        )
        assert torch.equal(found, picture)
        assert len(seen) == rounds
        for turn, tokens in enumerate(seen):
            masked = 16 if turn == 0 else int(16 * math.cos(math.pi / 2 * turn / rounds))
            assert (tokens == 17).sum(1).tolist() == [masked] * 2
            assert torch.equal(tokens[:, : 16 - masked], picture[:, : 16 - masked])


def test_noise_decides_which_tokens_stay(make):
    """Where the model is equally sure of all, those with the most noise are kept."""
    noise = torch.randn(1, 2, 16)
    seen = []

    def model(tokens, labels):
        seen.append(tokens.clone())
        return torch.zeros(1, 16, 17)

    unmask(model, torch.full((1, 16), 17), torch.zeros(1), noise, mask=17, temperature=4.5)
    kept = noise[0, 0].argsort(descending=True)[: 16 - int(16 * math.cos(math.pi / 4))]
    assert set(torch.nonzero(seen[1][0] != 17)[:, 0].tolist()) == set(kept.tolist())


@torch.no_grad()
def test_skip_gram_s_loss_is_that_of_its_paper(make):
    """Minus the log probability that the neighbour is one and the others are none."""
    workload = make("skipgram", "train", batch=5, vocab=20, hidden=4, negatives=2)
    model, batch = workload.build_model(), workload.make_batch(0)
    total = 0.0
    for word, others in zip(batch["tokens"].tolist(), batch["others"].tolist(), strict=True):
        scores = [float(model.word.weight[word] @ model.neighbour.weight[other]) for other in others]
        signed = [scores[0], *(-score for score in scores[1:])]
        total += sum(math.log1p(math.exp(-score)) for score in signed)
    assert float(workload.loss(model, batch)) == pytest.approx(total / 5, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "sizes", "data"),
    [
        ("skipgram", {}, SHIPPED), ("autoencoder", {}, None), ("autoencoder", {"variational": True}, None),
        ("dit", {}, None), ("unet", {}, None),
        ("maskgit", {}, None),
        ("gan", {}, None),
    ],
)  # fmt: skip
def test_losses_fall(make, name, sizes, data):
    """Forty steps at the workload's own optimizer and rate, over the same four batches."""
    job = job_of(make(name, "train", data=data, **sizes))
    for index in range(40):
        job.step(index, lambda _name: None)
    losses = job.losses()
    assert sum(losses[-4:]) < 0.99 * sum(losses[:4])
