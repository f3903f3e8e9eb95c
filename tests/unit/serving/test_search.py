"""The search for the highest rate, on curves and on queues whose truth is known."""

import numpy as np
import pytest

from benchmarks.goodput_search import Queue, search, sojourns_batching, sojourns_md1, within_md1
from harness.serving.search import Probe, highest_rate

MD1 = Queue("M/D/1", sojourns_md1, 4.0, 0.694)
BATCHING = Queue("batching server", sojourns_batching, 0.5, 25.16)
"""With the truths that `make bench-goodput` prints; it searches a hundred times."""


@pytest.mark.parametrize("queue", [MD1, BATCHING], ids=lambda queue: queue.name)
@pytest.mark.parametrize("seed", range(4))
def test_the_planted_rate_of_a_queue_is_found(queue, seed):
    """Within 5 %, from a start that is up to five times too high or too low."""
    assert search(queue, 1000, seed) == pytest.approx(1, abs=0.05)


def test_the_simulated_queue_follows_the_formula():
    """At seven tenths of its capacity."""
    found = sojourns_md1(0.7, 200_000, np.random.default_rng(5))[10_000:]
    assert float(np.mean(found <= 4.0)) == pytest.approx(within_md1(0.7, 4.0), abs=0.01)


def test_a_batch_takes_whoever_waits():
    """Far apart each request is served alone; at once eight go together, then the rest."""
    alone = sojourns_batching(0.001, 5, np.random.default_rng(0))
    assert alone == pytest.approx([0.12] * 5)
    together = sojourns_batching(1e9, 10, np.random.default_rng(0))
    assert together[1:9] == pytest.approx([0.12 + 0.26] * 8, abs=1e-6)


def sharp(edge, noise=0.0):
    """All is good up to the edge, and nothing above it, but for noise."""
    random = np.random.default_rng(0)
    return lambda rate, _repeat: Probe(float(rate <= edge) * (1 - noise * random.random()), rate > edge)


@pytest.mark.parametrize("start", [0.1, 7.0, 900.0])
def test_the_bracket_is_found_from_anywhere(start):
    """Its ends are 2 % apart, around the edge."""
    found = highest_rate(sharp(42.0), start, 0.9)
    assert found.rate_per_s <= 42.0 < found.above_per_s <= 1.02 * found.rate_per_s
    assert found.limited_by == "saturation"


def test_limits_that_are_missed_without_a_backlog_are_of_latency():
    """The server keeps up, its answers are too slow."""
    found = highest_rate(lambda rate, _: Probe(1.0 if rate < 8 else 0.5), 5.0, 0.9)
    assert found.limited_by == "latency"


def test_a_rate_near_the_edge_is_run_again_until_it_is_decided():
    """A clear share takes three runs; one that wanders around 0.9 takes all of them, and says so."""
    random = np.random.default_rng(1)
    found = highest_rate(
        lambda rate, _: Probe(
            1.0 if rate < 1 else 0.9 + 0.05 * random.standard_normal() if rate < 3 else 0.2
        ),
        0.5,
        0.9,
    )
    runs = {round(one.rate_per_s, 3): (len(one.probes), one.decided) for one in found.tried}
    assert runs[0.5] == (3, True)
    assert any(count == 10 and not decided for count, decided in runs.values())


def test_nothing_or_everything_has_no_edge():
    """The search ends."""
    assert highest_rate(lambda *_: Probe(0.0), 1.0, 0.9).rate_per_s is None
    assert highest_rate(lambda *_: Probe(1.0), 1.0, 0.9).above_per_s is None


@pytest.mark.parametrize("more", [{"start_per_s": 0}, {"share": 1.5}, {"tolerance": 0}, {"least": 1}])
def test_settings_without_meaning_are_refused(more):
    """Before anything is run."""
    settings = {"start_per_s": 1.0, "share": 0.9} | more
    with pytest.raises(ValueError, match="the search needs"):
        highest_rate(lambda *_: pytest.fail("it was run"), **settings)
