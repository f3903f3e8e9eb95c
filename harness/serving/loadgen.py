"""MLPerf LoadGen drives the engine: Offline, Server, SingleStream and MultiStream, with token latencies.

LoadGen (extra `serve`) decides when queries come, stamps what it is told and judges the run. We stamp the
same moments by our own clock, so that its figures can be held against ours (`loadgen_log.judged`).
"""

from __future__ import annotations

import array
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.serving.loadgen_log import Log, read_log
from workloads.base import UnsupportedError

if TYPE_CHECKING:
    import torch

    from workloads.engine.continuous_batching import Engine

Scenario = Literal["Offline", "Server", "SingleStream", "MultiStream"]
SCENARIOS: tuple[Scenario, ...] = ("Offline", "Server", "SingleStream", "MultiStream")
SAMPLES_PER_QUERY = 4
"""Of MultiStream."""
_ALONE, _TOGETHER = 5, 32
_FASTER, _SERVER_LOAD = 3.0, 0.5
"""Expectations over what was measured, and Server's offer of it."""


@dataclass(frozen=True, slots=True)
class LoadGenSettings:
    """What LoadGen is asked for; times are generous unless a limit is the question."""

    scenario: Scenario
    seconds: float = 10.0
    """Least duration of the run."""
    queries: int = 64
    """Least number of queries: 64 can be valid at the 90th percentile, 662 at the 99th."""
    percentile: float = 0.9
    rate_per_s: float = 1.0
    """Queries: Server's target, Offline's expectation."""
    expected_s: float = 0.1
    """Of one query, in SingleStream and MultiStream."""
    latency_limit_s: float = 60.0
    """Of a whole answer at the percentile, in Server."""
    ttft_limit_s: float = 60.0
    tpot_limit_s: float = 60.0


@dataclass(slots=True)
class Stamps:
    """Moments of one sample by our monotonic clock, ns."""

    issued_ns: int
    first_ns: int | None = None
    done_ns: int | None = None
    tokens: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LoadGenRun:
    """One run: what we saw, and what LoadGen wrote."""

    settings: LoadGenSettings
    stamps: tuple[Stamps, ...]
    log: Log
    folder: Path


def run_loadgen(
    engine: Engine, prompts: Sequence[torch.Tensor], new_tokens: int, settings: LoadGenSettings, folder: Path
) -> LoadGenRun:
    """Run one scenario; LoadGen's files stay in `folder`.

    Args:
        engine: Idle; its queue is long enough for what LoadGen sends at once.
        prompts: The samples, each (S,) int64 on the engine's device.
        new_tokens: Of every answer.
        settings: Of LoadGen.
        folder: Made if absent.

    Raises:
        UnsupportedError: mlcommons-loadgen is not installed.
        ValueError: LoadGen wrote no log that can be read.
        RuntimeError: the engine failed; the cause is chained.
    """
    try:
        import mlperf_loadgen as lg
    except ImportError as error:
        raise UnsupportedError("LoadGen needs mlcommons-loadgen: pip install 'joulemark[serve]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    server = _Server(engine, prompts, new_tokens, lg)
    output, logs = lg.LogOutputSettings(), lg.LogSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    logs.log_output, logs.enable_trace = output, False
    sut = lg.ConstructSUT(server.issue, lambda: None)
    samples = lg.ConstructQSL(len(prompts), len(prompts), lambda _: None, lambda _: None)
    server.start()
    try:
        lg.StartTestWithLogSettings(sut, samples, _asked(lg, settings), logs, str(folder / "none"))
    finally:
        server.stop()
        lg.DestroyQSL(samples)
        lg.DestroySUT(sut)
    if server.error is not None:
        raise RuntimeError(f"the engine failed under LoadGen: {server.error}") from server.error
    log = read_log(folder / "mlperf_log_detail.txt")
    return LoadGenRun(settings, tuple(server.stamps.values()), log, folder)


def calibrated(
    engine: Engine,
    prompts: Sequence[torch.Tensor],
    new_tokens: int,
    scenario: Scenario,
    *,
    seconds: float = 10.0,
    queries: int = 64,
) -> LoadGenSettings:
    """Return settings whose expectations this engine meets here, from a few answers alone and together.

    LoadGen makes its queries beforehand: it needs an expectation that is faster than the engine, or it runs
    out of them before the time is up. Server is offered half of what the engine answers together.
    """
    from workloads.engine.continuous_batching import Request

    def took_s(count: int) -> float:
        began = time.perf_counter()
        for i in range(count):
            engine.submit(Request(i, prompts[i % len(prompts)], new_tokens))
        while not engine.idle:
            engine.step()
        return time.perf_counter() - began

    took_s(_ALONE)
    alone_s = min(took_s(1) for _ in range(_ALONE))
    rate_per_s = _TOGETHER / took_s(_TOGETHER)
    return LoadGenSettings(
        scenario,
        seconds=seconds,
        queries=queries,
        rate_per_s=rate_per_s * (_SERVER_LOAD if scenario == "Server" else _FASTER),
        expected_s=alone_s / _FASTER,
    )


def _asked(lg: Any, settings: LoadGenSettings) -> Any:
    asked = lg.TestSettings()
    asked.scenario = getattr(lg.TestScenario, settings.scenario)
    asked.mode = lg.TestMode.PerformanceOnly
    asked.min_duration_ms = round(settings.seconds * 1e3)
    asked.min_query_count = 1 if settings.scenario == "Offline" else settings.queries
    asked.use_token_latencies = True
    asked.ttft_latency, asked.tpot_latency = (
        round(limit * 1e9) for limit in (settings.ttft_limit_s, settings.tpot_limit_s)
    )
    asked.offline_expected_qps = asked.server_target_qps = settings.rate_per_s
    asked.server_target_latency_ns = round(settings.latency_limit_s * 1e9)
    asked.server_target_latency_percentile = settings.percentile
    asked.single_stream_expected_latency_ns = round(settings.expected_s * 1e9)
    asked.single_stream_target_latency_percentile = settings.percentile
    asked.multi_stream_expected_latency_ns = round(settings.expected_s * 1e9)
    asked.multi_stream_target_latency_percentile = settings.percentile
    asked.multi_stream_samples_per_query = SAMPLES_PER_QUERY
    return asked


class _Server:
    """Feeds the engine on a thread of its own, and tells LoadGen of first and last tokens."""

    def __init__(self, engine: Engine, prompts: Sequence[torch.Tensor], new_tokens: int, lg: Any) -> None:
        self._engine, self._prompts, self._new_tokens, self._lg = engine, prompts, new_tokens, lg
        self._inbox: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self.stamps: dict[int, Stamps] = {}
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._serve, name="joulemark-loadgen")

    def start(self) -> None:
        """Start to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End when everything is answered."""
        self._inbox.put(None)
        self._thread.join()

    def issue(self, samples: Sequence[Any]) -> None:
        """Take a query from LoadGen, on its thread; return at once."""
        now = time.perf_counter_ns()
        for sample in samples:
            self.stamps[sample.id] = Stamps(now)
            self._inbox.put((sample.id, sample.index))

    def _serve(self) -> None:
        try:
            while self._take(wait=self._engine.idle):
                for token in self._engine.step():
                    self._tell(token.request, token.token, last=token.last)
        except Exception as error:  # noqa: BLE001 - LoadGen must get its answers, or it waits for ever
            self.error = error
            for number, stamps in list(self.stamps.items()):
                if stamps.done_ns is None:
                    self._complete(number, stamps)

    def _take(self, *, wait: bool) -> bool:
        """Submit what came; return False when all is served and nothing will come."""
        from workloads.engine.continuous_batching import Request

        while True:
            try:
                came = self._inbox.get(block=wait)
            except queue.Empty:
                return True
            if came is None:
                self._inbox.put(None)  # for the next look, when the engine is idle
                return not self._engine.idle
            number, index = came
            self._engine.submit(Request(number, self._prompts[index], self._new_tokens))
            wait = False

    def _tell(self, number: int, token: int, *, last: bool) -> None:
        stamps = self.stamps[number]
        stamps.tokens.append(token)
        if stamps.first_ns is None:
            first = array.array("q", stamps.tokens)
            address, count = first.buffer_info()
            stamps.first_ns = time.perf_counter_ns()
            self._lg.FirstTokenComplete([self._lg.QuerySampleResponse(number, address, count * 8)])
        if last:
            self._complete(number, stamps)

    def _complete(self, number: int, stamps: Stamps) -> None:
        answer = array.array("q", stamps.tokens)
        address, count = answer.buffer_info()
        stamps.done_ns = time.perf_counter_ns()
        self._lg.QuerySamplesComplete([self._lg.QuerySampleResponse(number, address, count * 8, count)])
