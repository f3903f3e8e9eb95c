"""Training under XLA is torch's training: the same losses, step by step."""

import jax
import numpy as np
import pytest
import torch
from torch import nn

from workloads.base import UnsupportedError
from workloads.engine.setup import Setup
from workloads.jax.job import prepare
from workloads.jax.stateless import Stateless

pytestmark = pytest.mark.xla

ALL = (
    *("gpt", "llama", "bert", "vit", "translation", "dit", "mamba", "moe", "mlp", "dlrm", "ner", "maskgit"),
    *("lstm", "unet", "autoencoder", "skipgram"),
)


def difference(ours, theirs):
    """Return the greatest difference of two jobs' losses."""
    pairs = zip(ours.losses(), theirs.losses(), strict=True)
    return max(abs(a - b) for a, b in pairs)


@pytest.mark.parametrize(("name", "optimizer"), [("gpt", "adamw"), ("mlp", "sgd")])
def test_three_steps_have_torchs_losses(both, workload, name, optimizer):
    """In fp32 to 1e-5, by torch's own equations of the optimizer; each step finite and counted alike."""
    ours, theirs = both(workload(name, "train"), optimizer=optimizer, lr=0.01)
    assert difference(ours, theirs) < 1e-5
    assert ours.losses()[0] != ours.losses()[2]
    assert ours.check() == {"output_ok": True, "output_reason": None}
    assert ours.units(1) == theirs.units(1)
    assert (ours.parameters, ours.weights_bytes) == (theirs.parameters, theirs.weights_bytes)


def test_micro_batches_add_up_to_the_batch(both, workload):
    """Accumulated gradients under XLA are torch's."""
    ours, theirs = both(workload("mlp", "train"), accumulate=2)
    assert difference(ours, theirs) < 1e-5


def test_bf16_runs_products_in_bf16_and_losses_in_fp32(both, workload):
    """Near fp32, and not equal to it, as under torch's autocast."""
    ours, exact = both(workload("mlp", "train"), precision="bf16", as_torch={"precision": "fp32"})
    assert 1e-6 < difference(ours, exact) < 3e-3


@pytest.mark.parametrize("momentum", [0.1, 0.3])
def test_batch_norm_carries_its_running_statistics(momentum):
    """Mean, unbiased variance and the count of batches come back as torch leaves them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=momentum)).train()
    x = torch.randn(5, 3, 6, 6)
    stateless = Stateless(model)
    state = stateless.state()
    made, carried = stateless.call(
        lambda model, x: model(x), state.trained, state.carried, stateless.array(x)
    )
    expected = model(x)
    np.testing.assert_allclose(np.asarray(made), expected.detach().numpy(), atol=1e-5)
    for name, buffer in model.named_buffers():
        np.testing.assert_allclose(np.asarray(carried[name]), buffer.numpy(), atol=1e-6)


def test_batches_of_other_shapes_are_refused(workload):
    """One program is for one shape: a batch that differs is refused before anything is measured."""
    made = workload("gpt", "train")
    whole = made.make_batch
    made.make_batch = lambda index, **more: {
        name: tensor[:, : tensor.shape[1] - (index == 2)] for name, tensor in whole(index, **more).items()
    }
    with pytest.raises(ValueError, match="the batches differ in shape, and XLA compiles for one shape"):
        prepare(made, Setup(device="xla"))


def test_what_cannot_be_traced_says_why(workload):
    """A model that looks at its values is refused with JAX's own word for it."""
    made = workload("gpt", "train")
    made.loss = lambda model, batch: model(batch["tokens"]).mean() if batch["tokens"].sum() > 0 else None
    with pytest.raises(UnsupportedError, match="XLA cannot trace this model"):
        prepare(made, Setup(device="xla"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_every_workload_that_traces_has_torchs_losses(both, workload, name):
    """Whatever the compatibility page says trains under XLA: three SGD steps to 1e-5."""
    mode = "finetune" if name == "ner" else "train"
    ours, theirs = both(workload(name, mode), optimizer="sgd", lr=0.01)
    assert difference(ours, theirs) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bar"), [("resnet", 1e-9), ("inception", 1e-9), ("gan", 1e-6)])
def test_models_with_batch_norm_agree_in_double_precision(workload, name, bar):
    """To 1e-9 with their running statistics; in fp32 torch itself is 7 % off after three steps of ResNet.

    The GAN takes its loss in fp32 whatever its weights are, and can agree no better than that.
    """
    made = workload(name, "train")
    torch.manual_seed(0)
    model = made.build_model().double().train()
    batches = [
        {k: v.double() if v.is_floating_point() else v for k, v in made.make_batch(i).items()}
        for i in range(3)
    ]
    with jax.enable_x64(True):
        stateless = Stateless(model)
        state = stateless.state()

        @jax.jit
        def step(trained, carried, batch):
            (loss, carried), gradients = jax.value_and_grad(
                lambda w: stateless.call(made.loss, w, carried, batch), has_aux=True
            )(trained)
            return jax.tree.map(lambda w, g: w - 0.01 * g, trained, gradients), carried, loss

        trained, carried, ours = state.trained, state.carried, []
        for batch in batches:
            trained, carried, loss = step(trained, carried, stateless.arrays(batch))
            ours.append(float(loss))
        statistics = {key: np.asarray(array) for key, array in carried.items()}
    optimizer, theirs = torch.optim.SGD(model.parameters(), lr=0.01), []
    for batch in batches:
        optimizer.zero_grad()
        loss = made.loss(model, batch)
        loss.backward()
        optimizer.step()
        theirs.append(float(loss.detach()))
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < bar
    for key, buffer in model.named_buffers():
        np.testing.assert_allclose(statistics[key], buffer.numpy(), atol=bar, rtol=bar)
