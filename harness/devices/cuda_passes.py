"""The gated and the cold pass on a CUDA device, by the shim (docs/method.md, section 2).

Both time work that stands whole behind the gate before any of it runs, so that no launch latency is in it; a
step that waits for the device cannot stand there, and the gate's deadline shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from harness.devices.base import Pass
from harness.shim.cuda.clock import Clocks
from harness.shim.cuda.driver import LIBRARY
from harness.shim.cuda.memory import FlushProof, Memory
from harness.shim.cuda.session import MOST_GATED
from harness.shim.errors import GateExpiredError, ShimError

PASS_NS = 100_000_000
"""Device time that a pass aims at."""
QUEUE_NS = 3_000_000
"""Host time of what the launch queue is taken to hold: about a thousand launches of 3 µs or more."""
MOST_COLD = 10
_CAUSE = "; a step that waits for the device, or fills its launch queue, cannot be gated"


class _Timed:
    """A step that notes what each call of it took the host."""

    def __init__(self, iterate: Callable[[], object]) -> None:
        self._iterate = iterate
        self.host_ns: list[int] = []

    def __call__(self) -> None:
        begin = time.perf_counter_ns()
        self._iterate()
        self.host_ns.append(time.perf_counter_ns() - begin)

    def mean_ns(self, last: int) -> float:
        """Return the mean of the last calls."""
        return sum(self.host_ns[-last:]) / last


def gated(
    index: int, iterate: Callable[[], object], period_ns: float, *, stream: int = 0, library: str = LIBRARY
) -> Pass:
    """Time iterations behind one gate; where it expires there is no time, but the reason.

    Args:
        index: Which device, as torch numbers them. The device is open.
        iterate: Enqueues one more iteration of warm work on the stream.
        period_ns: What an iteration took within the span.
        stream: The stream's handle.
        library: The driver's library.
    """
    step = _Timed(iterate)
    try:
        with Clocks(index, library=library) as shim:
            with shim.context:
                shim.context.synchronize()
                step()
            n = behind_the_gate(step.host_ns[0], period_ns)
            run = shim.run_gated(step, n, stream=stream)
    except ShimError as error:
        return Pass(None, reason=str(error))
    evidence = {"iterations": n, "gated": run.gated, "span_ns": run.span_ns, "host_ns": step.mean_ns(n)}
    if not run.gated:
        return Pass(None, n, f"{run.reason}{_CAUSE}", evidence)
    return Pass(run.span_ns / n, n, evidence=evidence)


def cold(
    index: int, iterate: Callable[[], object], period_ns: float, *, stream: int = 0, library: str = LIBRARY
) -> Pass:
    """Time single iterations, each behind a gate and after a flush that a pointer chase proved just before.

    Args:
        index: Which device, as torch numbers them. The device is open.
        iterate: Enqueues one more iteration of warm work on the stream.
        period_ns: What an iteration took within the span.
        stream: The stream's handle.
        library: The driver's library.
    """
    n = max(1, min(MOST_COLD, int(PASS_NS / period_ns)))
    step, evidence = _Timed(iterate), dict[str, Any]()
    try:
        with Memory(index, library=library) as shim:
            proof = shim.flush_proof()
            evidence["flush"] = _facts(proof)
            if not proof.flushed:
                return Pass(
                    None, reason="a pointer chase after the flush still met the cache", evidence=evidence
                )
            with shim.context:
                spans_ns = [shim.time_cold_ns(step, stream) for _ in range(n)]
    except GateExpiredError as error:
        return Pass(None, reason=f"{error}{_CAUSE}", evidence=evidence)
    except ShimError as error:
        return Pass(None, reason=str(error), evidence=evidence)
    evidence |= {"iterations": n, "spans_ns": spans_ns, "host_ns": step.mean_ns(n)}
    return Pass(sum(spans_ns) / n, n, evidence=evidence)


def behind_the_gate(host_ns: float, period_ns: float) -> int:
    """Return how many iterations stand behind one gate: what the launch queue holds, of at most `PASS_NS`.

    Args:
        host_ns: What enqueueing one takes the host, the device idle.
        period_ns: What one took within the span.
    """
    return max(1, min(MOST_GATED, int(QUEUE_NS / host_ns), int(PASS_NS / period_ns)))


def _facts(proof: FlushProof) -> dict[str, Any]:
    return {
        "warm_chase_ns": proof.hot_ns,
        "cold_chase_ns": proof.cold_ns,
        "memory_chase_ns": proof.memory_ns,
        "proved": proof.flushed,
    }
