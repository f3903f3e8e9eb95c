"""What a pass makes of a replica's work in another mode."""

import pytest

from harness.config.models import Config
from harness.devices import cpu
from harness.isolation.protocol import ReplicaSpec
from harness.planning.plan import make_plan
from harness.trial import prepare
from harness.trial.passes.run import PreparedReplica


@pytest.mark.parametrize(
    ("load", "rows"),
    [
        (("serve.concurrency=2",), 2),
        (("serve.concurrency=9",), 3),
        (("serve.concurrency=3", "serve.engines=2"), 2),
        (("serve.arrivals=poisson", "serve.rate_per_s=1"), 3),
    ],
)
def test_the_phases_of_what_serves_are_one_prompt_and_one_step_of_its_rows(monkeypatch, load, rows):
    """As many rows as its users fill, and its slots hold."""
    monkeypatch.setattr(cpu, "set_threads", lambda _threads: None)  # they are this process's own
    (planned,) = make_plan(
        ["workload=gpt", "workload.mode=serve", "device=cpu", "serve.prompt_tokens=9", "serve.slots=3", *load]
    ).trials
    config = Config.model_validate(planned.payload)
    spec = ReplicaSpec(planned.payload, planned.size)
    device, peers = prepare.open_device(config, spec)
    workload = prepare.workload_of(config, planned.size)
    ready = PreparedReplica(config, planned.size, spec, device, peers, workload, None, print)
    prefill, decode = (ready.in_mode(mode).units(0) for mode in ("prefill", "decode"))
    assert (prefill.samples, prefill.tokens) == (1, 9)
    assert (decode.samples, decode.tokens) == (rows, rows)
