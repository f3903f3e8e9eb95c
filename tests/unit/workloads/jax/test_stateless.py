"""A model as a function of its tensors: they are copies, and stay what they were."""

import numpy as np
import pytest
import torch
from torch import nn

from workloads.jax.bridge import environment
from workloads.jax.stateless import Stateless

pytestmark = pytest.mark.xla


@pytest.mark.parametrize("shares", [False, True])
def test_what_torch_writes_later_is_not_in_the_arrays(xla, monkeypatch, shares):
    """Weights train on in place; jax 0.10.0 keeps torch's memory as its own, as `shares` does."""
    model = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16)).train()
    monkeypatch.setattr(environment().config, "use_dlpack_for_data_conversion", shares)
    stateless = Stateless(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = stateless.state()
    batch = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    given, kept = stateless.array(batch), batch.clone()
    model(batch)
    with torch.no_grad():
        for tensor in (*model.parameters(), batch):
            tensor.add_(1)
    for name, array in (state.trained | state.carried).items():
        np.testing.assert_array_equal(np.asarray(array), before[name].numpy())
    np.testing.assert_array_equal(np.asarray(given), kept.numpy())
