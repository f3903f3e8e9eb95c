"""The section `serve`: what goes together, what is written, and what is part of a trial's identity."""

import json

import pytest

from harness.config.errors import ConfigError
from harness.identity.trial import recorded_work_id
from harness.planning.plan import make_plan

CPU = ("workload=gpt", "workload.mode=serve", "device=cpu")
ENDPOINT = ("workload=endpoint", "workload.url=http://localhost:1/v1", "workload.model=m")


def only(*overrides):
    """The one trial of these overrides."""
    (trial,) = make_plan([*CPU, *overrides]).trials
    return trial


def test_defaults_are_those_of_the_size():
    """A row is as long as a request needs."""
    serve = only().config.serve
    assert (serve.prompt_tokens, serve.output_tokens, serve.context) == (64, 16, 79)
    assert only("serve.lengths=lognormal").config.serve.context == 256
    mamba = only("workload=mamba", "serve.lengths=lognormal").config.serve
    assert mamba.context == 8 * 79


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("serve.arrivals=poisson", "an open loop needs serve.rate_per_s"),
        ("serve.rate_per_s=2", "a closed loop has no rate"),
        ("serve.burstiness=2", "closed ones have none"),
        ("serve.lengths=trace", "serve.trace must name a JSONL file"),
        ("serve.trace=x.jsonl", "neither serve.lengths nor serve.arrivals is trace"),
        ("serve.context=300", "the model has 256 positions"),
        ("serve.output_tokens=300", "a request of 363 positions does not fit a row"),
        ("serve.slotz=3", "serve.slotz"),
        ("serve.batching=dynamic", "serve.batching"),
        ("serve.concurrency=0", "serve.concurrency"),
    ],
)
def test_what_does_not_go_together_is_named(override, says):
    """In one line, before anything starts."""
    with pytest.raises(ConfigError, match=says):
        only(override)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("serve.loadgen=server",), "takes serve.ttft_limit_s and serve.tpot_limit_s"),
        (("serve.loadgen=server", "serve.ttft_limit_s=1", "serve.e2e_limit_s=1"), "takes serve.ttft"),
        (("serve.loadgen=offline", "serve.ttft_limit_s=1"), "takes no limit"),
        (("serve.loadgen=offline", "serve.concurrency=2"), "serve.concurrency: with serve.loadgen"),
        (("serve.loadgen=offline", "serve.queue=2"), "serve.queue: with serve.loadgen"),
        (("serve.loadgen=single_stream", "serve.good_share=1"), "a quantile below 1"),
        (("serve.loadgen=Offline",), "serve.loadgen"),
    ],
)
def test_what_loadgen_decides_is_not_ours_to_say(overrides, says):
    """And Server needs the limits that it judges by."""
    pytest.importorskip("mlperf_loadgen")
    with pytest.raises(ConfigError, match=says):
        only(*overrides)


def test_loadgen_drives_no_endpoint():
    """It has an engine in this process."""
    endpoint = ("workload.url=http://127.0.0.1/v1", "workload.model=m")
    with pytest.raises(ConfigError, match="not an endpoint"):
        make_plan(["workload=endpoint", *endpoint, "serve.loadgen=offline"])


def test_without_loadgen_the_extra_is_named(monkeypatch):
    """In one line."""
    monkeypatch.setattr("harness.planning.serving.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="pip install 'joulemark\\[serve\\]'"):
        only("serve.loadgen=offline")


def test_a_trace_is_its_contents(tmp_path):
    """Two files of the same contents are one load; another file is refused under its digest."""
    for name, tokens in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"prompt_tokens": tokens, "output_tokens": 2}))
    a, b, c = (only("serve.lengths=trace", f"serve.trace={tmp_path}/{name}.jsonl") for name in "abc")
    assert a.work_id == b.work_id != c.work_id
    digest = a.config.serve.trace_sha256
    with pytest.raises(ConfigError, match="was asked for"):
        only("serve.lengths=trace", f"serve.trace={tmp_path}/c.jsonl", f"serve.trace_sha256={digest}")


def test_limits_judge_the_same_work():
    """They are another trial of it."""
    plain, limited = only(), only("serve.ttft_limit_s=0.1")
    assert plain.work_id == limited.work_id
    assert plain.trial_id != limited.trial_id
    assert only("serve.slots=4").work_id != plain.work_id


@pytest.mark.parametrize("mode", ["infer", "generate", "train"])
@pytest.mark.parametrize("key", ["loadgen=offline", "slots=2", "engines=2", "ttft_limit_s=1", "slots=2,4"])
def test_another_mode_reads_no_key_and_says_what_does(mode, key):
    """Nobody believes that LoadGen drove a run of a batch."""
    name = key.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"^serve\.{name}: .* add workload.mode=serve$"):
        only(f"workload.mode={mode}", f"serve.{key}")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("serve.sigma=1",), "serve.sigma: .*serve.lengths=lognormal"),
        (
            ("serve.arrivals=poisson", "serve.rate_per_s=1", "serve.concurrency=2"),
            "serve.concurrency: .*closed",
        ),
        ((*ENDPOINT, "serve.batching=static"), "serve.batching: an endpoint has an engine of its own"),
        ((*ENDPOINT, "serve.engines=2"), "serve.engines: an endpoint has"),
        (("serve.balance=least_outstanding",), "serve.balance: .*serve.engines=N"),
        (("serve.loadgen=offline", "serve.engines=2"), "serve.engines: LoadGen drives one engine"),
    ],
)
def test_a_key_that_changes_nothing_is_refused(overrides, says):
    """With what would read it."""
    with pytest.raises(ConfigError, match=says):
        only(*overrides)


def test_a_sweep_may_set_what_some_of_its_trials_read():
    """The identities of the others are what they were."""
    trials = make_plan([*CPU, "workload.mode=serve,generate", "serve.slots=2,4"]).trials
    assert [trial.config.workload.mode for trial in trials] == ["serve", "serve", "generate"]
    assert len(make_plan([*CPU, "serve.lengths=fixed,lognormal", "serve.sigma=1"]).trials) == 2


def test_one_engine_is_the_work_that_it_was():
    """Records from before there were several keep their identities."""
    one = only().config.model_dump(mode="json")
    kept = recorded_work_id(one, {}, None)
    del one["serve"]["engines"]
    assert recorded_work_id(one, {}, None) == kept
    assert only("serve.engines=2").work_id != only().work_id
    assert "parallel=none" in only("serve.engines=2", "parallel=tensor").refusal


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optimize=compile", "changes with every step"),
        ("optimize.kv_cache=growing", "rows are slots"),
        ("parallel=ddp", "serves in one process, or with its matrices split"),
        ("workload=bert", "bert has no mode serve"),
    ],
)
def test_what_no_engine_does_is_refused(override, says):
    """With the reason, and no error: it is a cell of a sweep."""
    assert says in only(override).refusal


def test_an_endpoint_without_the_extra_is_refused(monkeypatch):
    """One line that says what to install."""
    monkeypatch.setattr("harness.planning.serving.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"needs httptools: pip install 'joulemark\[serve\]'"):
        make_plan(["workload=endpoint", "workload.url=http://localhost:1/v1", "workload.model=m"])
