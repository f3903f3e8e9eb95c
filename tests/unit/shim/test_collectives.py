"""Collective bandwidth: known shares of the bus, right results, and a reason where there is no number."""

import pytest

from harness.shim import collectives


def test_two_ranks_measure_every_collective():
    """Each collective over gloo has a rate, whose result was proved, on as many ranks as were asked for."""
    found = {c.id: c for c in collectives.measure("cpu", 2, quick=True)}
    assert list(found) == [f"collective.{name}" for name in collectives.BUS_SHARE]
    for ceiling in found.values():
        assert ceiling.value is not None, ceiling.reason
        assert ceiling.value >= ceiling.median > 0
        assert (ceiling.threads, ceiling.n) == (2, 5)


@pytest.mark.parametrize(
    ("name", "ranks", "share"),
    [("all_reduce", 2, 1.0), ("all_reduce", 4, 1.5), ("all_gather", 4, 0.75), ("all_to_all", 8, 0.875)],
)
def test_the_bus_share_is_the_closed_form(name, ranks, share):
    """A ring all-reduce sends 2(n-1)/n of the buffer over each link; the others (n-1)/n."""
    assert collectives.BUS_SHARE[name](ranks) == share


def test_one_device_has_nobody_to_talk_to():
    """A reason, and no number."""
    found = collectives.measure("cpu", 1)
    assert {c.value for c in found} == {None}
    assert "needs two" in found[0].reason


def test_a_rank_that_fails_is_a_reason():
    """What a rank cannot do is told in its own last line."""
    found = collectives._run("{}", 2)
    assert isinstance(found, str)
    assert "KeyError" in found


def test_a_wrong_result_is_refused():
    """The mean of what arrived must be the known one."""
    import torch

    with pytest.raises(collectives.CollectiveWrongError, match="not 3"):
        collectives._require("all_reduce", torch.ones(4), 3.0)
