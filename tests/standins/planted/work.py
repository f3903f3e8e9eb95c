"""Faults of the work itself: a real replica of a small model, in this process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from standins.planted.timing import steady_span
from standins.planted.world import World, planted
from torch import nn

from harness.config.models import Config
from harness.devices import cpu
from harness.isolation.protocol import ReplicaSpec
from harness.planning.plan import PlannedTrial, make_plan
from harness.records.evidence import EVIDENCE
from harness.serving.endpoint.client import Seen, Told
from harness.serving.endpoint.watch import LoopWatch, client_facts
from harness.serving.loadgen import LoadGenRun, LoadGenSettings
from harness.serving.loadgen_log import Log, judged
from harness.serving.loadgen_search import Settled
from harness.serving.metrics import Limits
from harness.serving.requests import ServedRequest
from harness.serving.served import Served
from harness.trial import rank_merge
from harness.trial.loadgen import loadgen_facts
from harness.trial.metrics import RankRun
from harness.trial.replica import run_replica
from workloads import registry
from workloads.base import Units

PRODUCERS = {"harness.trial.replica", "harness.trial.rank_merge"}
"""Whose evidence is looked at: a real span on a busy machine also says how busy it was."""
QUICK = (
    "workload=mlp", "device=cpu", "measure=quick", "measure.seconds=0.02", "measure.warmup_s=0",
    "measure.warmup_iterations=12", "measure.warmup_cap_s=0.02", "power=none",
)  # fmt: skip


@functools.cache
def trial(*overrides: str) -> PlannedTrial:
    """Plan one trial of a small network on the CPU."""
    (found,) = make_plan([*QUICK, *overrides]).trials
    return found


def replica(
    world: World, *overrides: str, on_phase: Callable[[str], None] = lambda _phase: None
) -> dict[str, Any]:
    """Run one replica, and return what it says of its work."""
    world.monkeypatch.setattr(cpu, "set_threads", lambda _threads: None)  # they are this process's own
    planned = trial(*overrides)
    found = run_replica(ReplicaSpec(planned.payload, planned.size), on_phase)
    assert found["status"] == "ok", found
    evidence: dict[str, Any] = found["evidence"]
    return {key: evidence[key] for key in evidence if PRODUCERS.intersection(EVIDENCE[key].producers)} | {
        "all_zero": [one for one in evidence["all_zero"] if one.startswith("loss")]
    }


def _with_loss(world: World, change: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Any]:
    kind = registry.get("mlp")
    loss = kind.loss
    world.monkeypatch.setattr(kind, "loss", lambda self, model, batch: change(loss(self, model, batch)))
    return replica(world, "workload.mode=train")


def _with_model(
    world: World, change: Callable[[nn.Module], nn.Module], *overrides: str, **options: Any
) -> Any:
    kind = registry.get("mlp")
    build = kind.build_model
    world.monkeypatch.setattr(kind, "build_model", lambda self: change(build(self)))
    return replica(world, "workload.mode=infer", *overrides, **options)


@planted("loss_not_finite", "output_wrong")
def _a_loss_that_is_no_number(world: World, fault: bool) -> dict[str, Any]:
    return _with_loss(world, lambda loss: loss * float("nan") if fault else loss)


@planted("all_zero")
def _a_loss_that_is_zero_throughout(world: World, fault: bool) -> dict[str, Any]:
    return _with_loss(world, lambda loss: loss * 0.0 if fault else loss)


class _Wrapped(nn.Module):
    """A model that is compiled anew for each word, or that no compiler may look into."""

    word = ""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **named: Any) -> Any:
        """Run the model."""
        out = self.model(*args, **named)
        return out if self.word != "none" else -out


@planted("output_wrong")
def _a_model_whose_weights_are_infinite(world: World, fault: bool) -> dict[str, Any]:
    def spoilt(model: nn.Module) -> nn.Module:
        with torch.no_grad():
            for weights in model.parameters() if fault else ():
                weights.fill_(torch.inf)
        return model

    return _with_model(world, spoilt)


def _compiled(world: World, change: Callable[[nn.Module], nn.Module], **options: Any) -> dict[str, Any]:
    compile_module = nn.Module.compile
    # Traced graphs need no C compiler.
    world.monkeypatch.setattr(nn.Module, "compile", lambda self, mode: compile_module(self, backend="eager"))
    found: dict[str, Any] = _with_model(world, change, "optimize.compile=default", **options)
    torch.compiler.reset()
    return found


@planted("not_compiled")
def _a_model_that_no_compiler_may_look_into(world: World, fault: bool) -> dict[str, Any]:
    class Closed(_Wrapped):
        forward = torch.compiler.disable(_Wrapped.forward)

    return _compiled(world, Closed if fault else _Wrapped)


@planted("recompiled")
def _a_model_that_is_compiled_anew_in_the_span(world: World, fault: bool) -> dict[str, Any]:
    models: list[_Wrapped] = []

    def wrapped(model: nn.Module) -> nn.Module:
        models.append(_Wrapped(model))
        return models[-1]

    def changed(phase: str) -> None:
        if fault and phase == "measure":
            models[-1].word = phase

    return _compiled(world, wrapped, on_phase=changed)


@planted("compiled_in_part")
def _a_model_that_is_compiled_too_often(world: World, fault: bool) -> dict[str, Any]:
    def wrapped(model: nn.Module) -> nn.Module:
        made = _Wrapped(model)
        words = iter(range(10 if fault else 0))
        made.register_forward_pre_hook(lambda *_told: setattr(made, "word", str(next(words, "last"))))
        return made

    return _compiled(world, wrapped)


@planted("ranks_beyond_cores")
def _three_ranks_on_two_cores(world: World, fault: bool) -> dict[str, Any]:
    world.monkeypatch.setattr("harness.system.host.usable_cores", lambda: 2 if fault else 3)
    run = RankRun(steady_span(), [Units(1)], {"peak_rss": 1})
    ranks = [rank_merge.RankResult(run, {"threads": 1}, {}, {}, None)] * 3
    return rank_merge.evidence(ranks, Config.model_validate(trial("workload.mode=infer").payload))


def _served(*ended: str, every_ms: int = 10, takes_ms: int = 5) -> dict[str, Any]:
    """Return what is said of requests that came evenly, were answered one by one, and ended so."""
    ms = 1_000_000
    requests = tuple(
        ServedRequest(i, every_ms * i * ms, max(every_ms * i + takes_ms, takes_ms * (i + 1)) * ms, how)
        for i, how in enumerate(ended)
    )
    span_ns = 0, requests[-1].end_ns
    return Served(requests, span_ns, Limits(), open_loop=True).evidence()


@planted("few_requests")
def _five_requests(_world: World, fault: bool) -> dict[str, Any]:
    return _served(*["answered"] * (5 if fault else 6))


@planted("requests_failed")
def _a_request_that_was_rejected(_world: World, fault: bool) -> dict[str, Any]:
    return _served(*["answered"] * 6, "rejected" if fault else "answered")


@planted("mostly_unanswered", "requests_failed")
def _a_server_that_died_half_way(_world: World, fault: bool) -> dict[str, Any]:
    return _served(*["answered"] * 6, *["reset" if fault else "answered"] * 6)


@planted("client_bound")
def _a_client_whose_reads_were_late(_world: World, fault: bool) -> dict[str, Any]:
    request = ServedRequest(0, 0, 3, "answered", (1, 2, 3), 3, start_ns=0)
    late_ns = [30_000_000 if fault else 1_000_000] * 3  # of latencies of one second
    return {"client": client_facts([Told(request, Seen(reads=3, events=3, late_ns=late_ns))], LoopWatch())}


def _under_loadgen(**said: Any) -> dict[str, Any]:
    """Return what is said of one answer of two tokens, the first after a second, with LoadGen's log of it."""
    request = ServedRequest(0, 0, 2 * 10**9, "answered", (10**9, 2 * 10**9), 2)
    log = Log({"result_validity": "VALID", "result_first_token_50.00_percentile_latency_ns": 10**9} | said)
    run = LoadGenRun(LoadGenSettings("server"), (request,), 1, log)
    found = judged(log, scenario="server", answers=[2], told_first=1)
    return {"loadgen": loadgen_facts(Settled(run, ()), found, [])}


@planted("loadgen_invalid")
def _a_run_that_loadgen_calls_invalid(_world: World, fault: bool) -> dict[str, Any]:
    return _under_loadgen(result_validity="INVALID" if fault else "VALID")


@planted("loadgen_disagrees")
def _a_first_token_that_loadgen_saw_later(_world: World, fault: bool) -> dict[str, Any]:
    late_ns = 20_000_000 if fault else 9_000_000  # of a second
    return _under_loadgen(**{"result_first_token_50.00_percentile_latency_ns": 10**9 + late_ns})


@planted("saturated")
def _answers_that_take_longer_than_requests_are_apart(_world: World, fault: bool) -> dict[str, Any]:
    return _served(*["answered"] * 100, takes_ms=20 if fault else 5)
