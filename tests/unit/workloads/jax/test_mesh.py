"""Several devices of one process: the same losses, and every sample counted once."""

import jax
import pytest

from workloads.base import UnsupportedError

pytestmark = pytest.mark.xla


@pytest.mark.parametrize(
    ("name", "samples", "weights"),
    [
        ("mlp", 8, "split"),
        ("mlp", 8, "whole"),
        pytest.param("gpt", 4, "whole", marks=pytest.mark.slow),
        pytest.param("gpt", 4, "split", marks=pytest.mark.slow),
    ],
)
def test_losses_of_four_devices_are_those_of_one(both, workload, name, samples, weights):
    """Data parallel and FSDP-like: the devices share a batch, whose samples count once."""
    ours, theirs = both(workload(name, "train"), parallel={"devices": 4, "weights": weights})
    for a, b in zip(ours.losses(), theirs.losses(), strict=True):
        assert a == pytest.approx(b, abs=1e-5)
    assert ours.devices == 4
    assert ours.units(0) == theirs.units(0)
    assert ours.units(0).samples == samples


@pytest.mark.parametrize(("weights", "share"), [("whole", 1), ("split", 4)])
def test_weights_lie_where_the_layout_says(xla, workload, weights, share):
    """Whole on each device, or a quarter of each weight on each."""
    from workloads.jax import mesh

    placed = mesh.placement(0, 4, weights).weight(jax.numpy.ones((8, 12)))
    sizes = {shard.data.size for shard in placed.addressable_shards}
    assert sizes == {8 * 12 // share}
    assert len(placed.addressable_shards) == 4


def test_a_batch_that_does_not_split_is_refused(both, workload):
    """Four samples over three devices."""
    with pytest.raises(UnsupportedError, match="batch 4 does not split over 3 devices"):
        both(workload("gpt", "train"), parallel={"devices": 3, "weights": "whole"})


def test_more_devices_than_there_are_is_refused(both, workload):
    """JAX shows four here."""
    with pytest.raises(UnsupportedError, match="JAX shows 4"):
        both(workload("gpt", "train", batch=8), parallel={"devices": 8, "weights": "whole"})
