"""How often the search for the highest rate finds the planted one, on simulated queues whose truth is known.

    python benchmarks/goodput_search.py [--searches 100] [--requests 1000]

M/D/1 (one server of constant service time, Poisson arrivals): the share of requests within a limit is that of
Erlang's formula for its waiting time. A batching server answers up to eight waiting requests together, in a
time that grows with their number; its truth comes from a run of a million requests. Each search is fresh.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.serving.search import Probe, highest_rate

WARM = 0.2
"""Share of a run's requests that come before those that count: the queue starts empty."""
CLOSE = 0.05
LARGEST_BATCH, FIXED_S, EACH_S = 8, 0.1, 0.02
Simulate = Callable[[float, int, np.random.Generator], np.ndarray]
"""Return the sojourn times, s, of so many requests at a rate per s."""


@dataclass(frozen=True)
class Queue:
    """A server, the limit of its answers, and the highest rate at which nine of ten keep it."""

    name: str
    simulate: Simulate
    limit_s: float
    truth_per_s: float


def sojourns_md1(rate: float, count: int, random: np.random.Generator) -> np.ndarray:
    """One second of service each: Lindley's recursion as a running minimum."""
    steps = np.concatenate(([0.0], np.cumsum(1.0 - random.exponential(1 / rate, count - 1))))
    return 1.0 + steps - np.minimum.accumulate(steps)


def within_md1(rate: float, limit_s: float) -> float:
    """Return P(sojourn <= limit) of M/D/1 with one second of service (Erlang 1909)."""
    if rate >= 1:
        return 0.0
    wait = limit_s - 1.0
    terms = ((-rate * (wait - k)) ** k / math.factorial(k) * math.exp(rate * (wait - k))
             for k in range(int(wait) + 1))  # fmt: skip
    return (1 - rate) * math.fsum(terms)


def sojourns_batching(rate: float, count: int, random: np.random.Generator) -> np.ndarray:
    """Whoever waits when the server is free goes in together, eight at most."""
    arrivals = np.cumsum(random.exponential(1 / rate, count))
    ends = np.empty(count)
    first, free = 0, 0.0
    while first < count:
        begin = max(free, arrivals[first])
        last = int(np.searchsorted(arrivals[first : first + LARGEST_BATCH], begin, side="right"))
        free = begin + FIXED_S + EACH_S * last
        ends[first : first + last] = free
        first += last
    return ends - arrivals


def rate_at(within: Callable[[float], float], share: float, low: float, high: float) -> float:
    """Return the rate at which a falling share is `share`."""
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) >= share else (low, middle)
    return (low + high) / 2


def queues(long: int = 1_000_000) -> list[Queue]:
    """Return both servers, the batching one's truth from a run of `long` requests."""

    def within(rate: float) -> float:
        return float(np.mean(sojourns_batching(rate, long, np.random.default_rng(1))[long // 10 :] <= 0.5))

    return [
        Queue("M/D/1", sojourns_md1, 4.0, rate_at(lambda r: within_md1(r, 4.0), 0.9, 0.1, 0.999)),
        Queue("batching server", sojourns_batching, 0.5, rate_at(within, 0.9, 1.0, 40.0)),
    ]


def search(queue: Queue, requests: int, seed: int) -> float:
    """Search once with fresh arrivals, and return the rate over the planted one."""
    random = np.random.default_rng(seed)

    def probe(rate: float, _repeat: int) -> Probe:
        sojourns = queue.simulate(rate, requests, random)[int(WARM * requests) :]
        return Probe(float(np.mean(sojourns <= queue.limit_s)))

    start = queue.truth_per_s * float(random.uniform(0.2, 5.0))
    found = highest_rate(probe, start, 0.9).rate_per_s
    assert found is not None
    return found / queue.truth_per_s


def main() -> None:
    """Search each queue and print how close the rates came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--searches", type=int, default=100)
    parser.add_argument("--requests", type=int, default=1000)
    options = parser.parse_args()
    for queue in queues():
        ratios = np.array([search(queue, options.requests, seed) for seed in range(options.searches)])
        close = int((np.abs(ratios - 1) <= CLOSE).sum())
        print(
            f"{queue.name}: planted {queue.truth_per_s:.4g}/s; {close} of {len(ratios)} within {CLOSE:.0%}, "
            f"ratio {ratios.min():.3f} to {ratios.max():.3f}, median {np.median(ratios):.3f}"
        )


if __name__ == "__main__":
    main()
