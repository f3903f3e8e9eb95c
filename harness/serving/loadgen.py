"""MLPerf LoadGen drives the engine: Offline, Server, SingleStream and MultiStream, with token latencies.

LoadGen (extra `serve`) decides when queries come, stamps what it is told and judges the run. We stamp the
same moments by our own clock, so that its figures can be held against ours (`loadgen_log`).
"""

from __future__ import annotations

import array
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.serving import LoadGenScenario
from harness.serving.loadgen_log import DETAIL, TRACE, Log, read_log, read_schedule
from harness.serving.requests import ANSWERED, UNFINISHED, ServedRequest
from workloads.base import UnsupportedError

if TYPE_CHECKING:
    import torch

    from workloads.engine.continuous_batching import Engine

SAMPLES_PER_QUERY = 4
"""Of MultiStream."""
NO_LIMIT_S = 3600.0
"""LoadGen wants a limit where there is none."""
QUEUE = 2**31
"""Requests that may wait in an engine under LoadGen, which sends all of Offline at once."""
_CLASSES: dict[LoadGenScenario, str] = {
    "offline": "Offline",
    "server": "Server",
    "single_stream": "SingleStream",
    "multi_stream": "MultiStream",
}


@dataclass(frozen=True, slots=True)
class LoadGenSettings:
    """What LoadGen is asked for."""

    scenario: LoadGenScenario
    seconds: float = 10.0
    """Least duration of the run."""
    queries: int = 64
    """Least number of queries; see `loadgen_search.least_queries`."""
    percentile: float = 0.9
    rate_per_s: float = 1.0
    """Queries: Server's target, Offline's expectation."""
    expected_s: float = 0.1
    """Of one query, in SingleStream and MultiStream."""
    ttft_limit_s: float = NO_LIMIT_S
    """Of the percentile, in Server; with token latencies a whole answer has no limit."""
    tpot_limit_s: float = NO_LIMIT_S
    seed: int = 0
    """Of the order of samples and of Server's schedule."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What LoadGen may ask for."""

    prompt: torch.Tensor
    """(S,) int64 on the engine's device."""
    new_tokens: int


@dataclass(slots=True)
class _Stamps:
    """Moments of one sample by our monotonic clock, ns."""

    issued_ns: int
    prompt_tokens: int
    start_ns: int | None = None
    token_ns: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    done_ns: int | None = None


@dataclass(frozen=True, slots=True)
class LoadGenRun:
    """One run: what we saw, and what LoadGen wrote."""

    settings: LoadGenSettings
    requests: tuple[ServedRequest, ...]
    """In the order in which LoadGen issued the samples; in Server they arrive when it scheduled them."""
    told_first: int
    """First tokens that LoadGen was told of."""
    log: Log


def run_loadgen(
    engine: Engine, samples: Sequence[Sample], settings: LoadGenSettings, folder: Path
) -> LoadGenRun:
    """Run one scenario; LoadGen's files stay in `folder`.

    Args:
        engine: Idle; its queue is long enough for what LoadGen sends at once.
        samples: What may be asked.
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
    server = _Server(engine, samples, lg)
    output, logs = lg.LogOutputSettings(), lg.LogSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    logs.log_output, logs.enable_trace = output, settings.scenario == "server"
    sut = lg.ConstructSUT(server.issue, lambda: None)
    library = lg.ConstructQSL(len(samples), len(samples), lambda _: None, lambda _: None)
    server.start()
    try:
        lg.StartTestWithLogSettings(sut, library, _asked(lg, settings), logs, str(folder / "none"))
    finally:
        server.stop()
        lg.DestroyQSL(library)
        lg.DestroySUT(sut)
    if server.error is not None:
        raise RuntimeError(f"the engine failed under LoadGen: {server.error}") from server.error
    stamps = list(server.stamps.values())
    arrivals_ns = [one.issued_ns for one in stamps]
    if settings.scenario == "server":
        arrivals_ns = _scheduled_ns(stamps, folder / TRACE)
    log = read_log(folder / DETAIL)
    requests = [_request(i, arrivals_ns[i], one) for i, one in enumerate(stamps)]
    return LoadGenRun(settings, tuple(requests), server.told_first, log)


def _scheduled_ns(stamps: Sequence[_Stamps], trace: Path) -> list[int]:
    """Return when LoadGen had scheduled each sample, on our clock.

    The two clocks differ by a constant: a sample is done for LoadGen a little after we say so, and of all
    samples the one with the least delay tells it.

    Raises:
        ValueError: the trace lacks a sample.
    """
    schedule = read_schedule(trace)
    if not set(range(len(stamps))) <= schedule.keys():
        raise ValueError(f"LoadGen traced {len(schedule)} of {len(stamps)} samples")
    ends = [(one.done_ns, schedule[i]) for i, one in enumerate(stamps) if one.done_ns is not None]
    offset_ns = max(done_ns - theirs.at_ns - theirs.took_ns for done_ns, theirs in ends)
    return [schedule[i].at_ns + offset_ns for i in range(len(stamps))]


def _request(number: int, arrival_ns: int, one: _Stamps) -> ServedRequest:
    return ServedRequest(
        number,
        arrival_ns,
        one.issued_ns if one.done_ns is None else one.done_ns,
        UNFINISHED if one.done_ns is None else ANSWERED,
        tuple(one.token_ns),
        len(one.tokens),
        one.start_ns,
        prompt_tokens=one.prompt_tokens,
    )


def _asked(lg: Any, settings: LoadGenSettings) -> Any:
    asked = lg.TestSettings()
    asked.scenario = getattr(lg.TestScenario, _CLASSES[settings.scenario])
    asked.mode = lg.TestMode.PerformanceOnly
    asked.min_duration_ms = round(settings.seconds * 1e3)
    asked.min_query_count = 1 if settings.scenario == "offline" else settings.queries
    asked.use_token_latencies = True
    asked.ttft_latency, asked.tpot_latency = (
        round(limit * 1e9) for limit in (settings.ttft_limit_s, settings.tpot_limit_s)
    )
    asked.offline_expected_qps = asked.server_target_qps = settings.rate_per_s
    asked.server_target_latency_percentile = settings.percentile
    asked.single_stream_expected_latency_ns = round(settings.expected_s * 1e9)
    asked.single_stream_target_latency_percentile = settings.percentile
    asked.multi_stream_expected_latency_ns = round(settings.expected_s * 1e9)
    asked.multi_stream_target_latency_percentile = settings.percentile
    asked.multi_stream_samples_per_query = SAMPLES_PER_QUERY
    asked.qsl_rng_seed = asked.sample_index_rng_seed = asked.schedule_rng_seed = settings.seed
    return asked


class _Server:
    """Feeds the engine on a thread of its own, and tells LoadGen of first and last tokens."""

    def __init__(self, engine: Engine, samples: Sequence[Sample], lg: Any) -> None:
        self._engine, self._samples, self._lg = engine, samples, lg
        self._inbox: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self.stamps: dict[int, _Stamps] = {}
        self.told_first = 0
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._serve, name="joulemark-loadgen")

    def start(self) -> None:
        """Start to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End when everything is answered."""
        self._inbox.put(None)
        self._thread.join()

    def issue(self, asked: Sequence[Any]) -> None:
        """Take a query from LoadGen, on its thread; return at once."""
        now = time.perf_counter_ns()
        for one in asked:
            self.stamps[one.id] = _Stamps(now, len(self._samples[one.index].prompt))
            self._inbox.put((one.id, one.index))

    def _serve(self) -> None:
        try:
            while self._take(wait=self._engine.idle):
                self._step()
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
            sample = self._samples[index]
            self._engine.submit(Request(number, sample.prompt, sample.new_tokens))
            wait = False

    def _step(self) -> None:
        began_ns = time.perf_counter_ns()
        tokens = self._engine.step()
        now_ns = time.perf_counter_ns()
        for number in self._engine.begun:
            self.stamps[number].start_ns = began_ns
        for token in tokens:
            self._tell(token.request, token.token, now_ns, last=token.last)

    def _tell(self, number: int, token: int, now_ns: int, *, last: bool) -> None:
        stamps = self.stamps[number]
        stamps.tokens.append(token)
        if len(stamps.tokens) == 1:
            first = array.array("q", stamps.tokens)
            address, count = first.buffer_info()
            now_ns = time.perf_counter_ns()
            self._lg.FirstTokenComplete([self._lg.QuerySampleResponse(number, address, count * 8)])
            self.told_first += 1
        if last:
            self._complete(number, stamps)
            assert stamps.done_ns is not None
            now_ns = stamps.done_ns if len(stamps.tokens) > 1 else now_ns
        stamps.token_ns.append(now_ns)

    def _complete(self, number: int, stamps: _Stamps) -> None:
        answer = array.array("q", stamps.tokens)
        address, count = answer.buffer_info()
        stamps.done_ns = time.perf_counter_ns()
        self._lg.QuerySamplesComplete([self._lg.QuerySampleResponse(number, address, count * 8, count)])
