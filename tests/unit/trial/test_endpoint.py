"""A whole replica of an endpoint against the scripted server: its record, its audit, its failures."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from standins.endpoint import SCRIPTS, serving

from harness.config.errors import ConfigError
from harness.isolation.protocol import ReplicaSpec
from harness.planning.plan import make_plan
from harness.records.loop import LOOP, read_loops
from harness.records.schema import Metric
from harness.trial import endpoint
from harness.trial.replica import run_replica

QUICK = (
    "workload=endpoint", "device=cpu", "power=none", "serve.concurrency=2", "serve.output_tokens=6",
    "serve.prompt_tokens=4", "measure.seconds=0.1", "measure.warmup_s=0", "workload.pause_s=0.3",
)  # fmt: skip


@pytest.fixture(scope="module")
def server():
    """Serve the scripts without their delays."""
    quick = {"role_s": 0.001, "first_s": 0.002, "gap_s": 0.001}
    with serving({name: replace(script, **quick) for name, script in SCRIPTS.items()}) as found:
        yield found


def run(url: str, folder: Path | None, *overrides: str):
    """Run one replica in this process."""
    (trial,) = make_plan([*QUICK, f"workload.url={url}", *overrides]).trials
    assert trial.refusal is None
    spec = ReplicaSpec(trial.payload, trial.size, folder=None if folder is None else str(folder))
    return run_replica(spec, lambda _phase: None)


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_replica_and_its_audit(server, tmp_path, api):
    """Every latency has a value, energy a reason, and the same metrics follow from what was kept."""
    found = run(server[0], tmp_path, "workload.model=three", f"workload.api={api}")
    assert found["status"] == "ok", found
    metrics = {m["id"]: m for m in found["metrics"]}
    for name in ("ttft", "ttfa", "tpot", "gap", "e2e"):
        assert metrics[f"latency.{name}"]["value"] > 0
    assert metrics["requests.failed"]["value"] == 0
    assert metrics["throughput.tokens"]["value"] > 0
    assert metrics["energy.token"]["value"] is None
    assert metrics["energy.token"]["reason"]
    assert not [m for m in metrics if m.startswith("latency.queue")]
    evidence = json.loads(json.dumps(found["evidence"]))
    assert evidence["endpoint"]["answered"] == evidence["iterations"] == evidence["requests"]["answered"]
    assert (evidence["endpoint"]["empty_first"] > 0) == (api == "chat")
    assert evidence["endpoint"]["models"] == ["scripted"]
    assert evidence["client"]["kernel_stamps"]
    assert evidence["client"]["late_s"] is not None
    ((_, series),) = read_loops([("x", (tmp_path / LOOP).read_bytes())])
    again = endpoint.replayed(evidence["audit"]["endpoint"], series)
    assert again == [Metric(**m) for m in found["metrics"]]


def test_an_open_loop(server):
    """Requests come by their schedule."""
    overrides = (
        "serve.arrivals=constant", "serve.rate_per_s=50", "measure.seconds=0.2", "serve.concurrency=8",
    )  # fmt: skip
    found = run(server[0], None, "workload.model=plain", *overrides)
    assert found["status"] == "ok"
    assert 8 <= found["evidence"]["iterations"] <= 10


def test_without_usage_no_time_per_token(server):
    """The server tells no tokens: what needs them has that reason, the rest its value."""
    metrics = {m["id"]: m for m in run(server[0], None, "workload.model=no-usage")["metrics"]}
    for name in ("latency.tpot", "latency.tpot.p50", "interactivity", "throughput.tokens"):
        assert (metrics[name]["value"], metrics[name]["reason"]) == (
            None,
            "the server told no believable number of an answer's tokens",
        )
    assert metrics["latency.ttft"]["value"] > 0


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nobody", "(http_404): HTTP 404: The model `nobody` does not exist."),
        ("error-500", "(http_500): HTTP 500: scripted"),
        ("busy-429", "(http_429)"),
        ("stall", "(stalled): nothing came for 0.3 s after 2 pieces"),
        ("malformed", "(malformed)"),
    ],
)
def test_a_server_that_refuses_is_a_record_with_the_reason(server, model, said):
    """One line, from the first request."""
    found = run(server[0], None, f"workload.model={model}")
    assert found["status"] == "crashed"
    assert "in phase check: the first request failed" in found["reason"]
    assert said in found["reason"]


def test_nobody_is_there():
    """A port that nothing listens on."""
    found = run("http://127.0.0.1:1", None, "workload.model=m")
    assert found["reason"].startswith("EndpointError in phase check: the first request failed (refused)")


def test_energy_of_another_machine_is_not_this_ones():
    """A local sensor does not cover it; a meter in the network may."""
    from harness.serving.endpoint.address import parse_url
    from harness.trial.endpoint_energy import Metered

    far = ("workload.url=https://far.example/v1", "workload.model=m")
    (local,) = make_plan([*QUICK, *far, "power=auto"]).trials
    reason = Metered(local.config, [parse_url("https://far.example/v1")]).energy().reason
    assert reason is not None
    assert reason.startswith("the server runs on another machine")
    assert Metered(local.config, [parse_url("http://127.0.0.1:8/v1")]).energy().reason is None


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["workload=endpoint"], "needs workload.url and workload.model"),
        (["workload=endpoint", "workload.url=http://h"], "needs workload.url and workload.model"),
        (["workload=gpt", "workload.url=http://h"], "need workload=endpoint"),
        (["workload=gpt", "workload.extra.ignore_eos=true"], "need workload=endpoint"),
        (["workload=endpoint", "workload.url=ftp://h", "workload.model=m"], "only http:// and https://"),
        (["workload=endpoint", "workload.url=http://u:p@h", "workload.model=m"], "a user or password"),
    ],
)
def test_what_cannot_be_planned(overrides, said):
    """One line that holds no secret."""
    with pytest.raises(ConfigError, match=said) as error:
        make_plan(overrides)
    assert "u:p" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_key_is_no_part_of_who_a_trial_is(monkeypatch):
    """The same work with another key, and another work with another server or model."""
    base = ["workload=endpoint", "workload.url=http://h/v1", "workload.model=m"]

    def work(*more: str) -> str:
        return make_plan([*base, *more]).trials[0].work_id

    assert work() == work("workload.key_env=SOME_KEY") == work("workload.request_s=5")
    others = ("workload.url=http://g/v1", "workload.model=n", "workload.api=completions")
    assert len({work(), *map(work, others), work("workload.extra.ignore_eos=true")}) == 5
    assert make_plan(base).trials[0].label == "endpoint m serve"


SLOW_S, FAST_S = 0.3, 0.01
DEAD = "http://127.0.0.1:9/v1"
"""Nothing listens there."""


def balanced(policy: str, *urls: str, users: int = 4):
    """Run a replica against several servers; return the metrics, and how the servers' requests ended."""
    listed = f"[{','.join(urls)}]"
    found = run(
        listed, None, "workload.model=plain", f"serve.balance={policy}", f"serve.concurrency={users}",
        "measure.seconds=0.5",
    )  # fmt: skip
    assert found["status"] == "ok", found
    evidence = found["evidence"]
    told = evidence["balance"]
    assert told["policy"] == policy
    ended = Counter()
    for one in told["servers"]:
        assert sum(one["ended"].values()) == one["requests"]
        ended.update(one["ended"])
    assert dict(ended) == evidence["requests"]
    return {m["id"]: m for m in found["metrics"]}, told["servers"]


@pytest.fixture(scope="module")
def pair():
    """Serve the same answers from a slow and from a fast server."""
    scripts = [
        {"plain": replace(SCRIPTS["plain"], role_s=0.001, first_s=first_s, gap_s=0.001)}
        for first_s in (SLOW_S, FAST_S)
    ]
    with serving(scripts[0]) as slow, serving(scripts[1]) as fast:
        yield slow[0], fast[0]


def test_least_outstanding_sends_more_to_the_fast_server(pair):
    """Its answers end sooner, so that it has the fewest under way; in turn both get as many."""
    _, (slow, fast) = balanced("least_outstanding", *pair)
    assert fast["requests"] > 2 * slow["requests"] > 0
    _, (slow, fast) = balanced("round_robin", *pair)
    assert abs(fast["requests"] - slow["requests"]) <= 4


def test_a_dead_server_is_counted(pair):
    """By its place, with the ending of its requests; the others go on."""
    metrics, (dead, fast) = balanced("round_robin", DEAD, pair[1])
    assert set(dead["ended"]) == {"refused"}
    assert set(fast["ended"]) == {"answered"}
    assert metrics["requests.failed"]["value"] == dead["requests"] / (dead["requests"] + fast["requests"])


def test_one_address_has_nothing_to_balance():
    """The policy is refused, and so is an address that is none."""
    with pytest.raises(ConfigError, match="it chooses between several servers"):
        run(DEAD, None, "workload.model=plain", "serve.balance=least_outstanding")
    with pytest.raises(ConfigError, match="only http"):
        run(f"[{DEAD},ftp://x/v1]", None, "workload.model=plain")
