"""LoadGen's log and what we make of it: its verdict, and what it says VALID to without cause."""

import json

import pytest

from harness.serving.loadgen_log import Log, Scheduled, judged, read_log, read_schedule

TTFT = "result_first_token_99.00_percentile_latency_ns"
TPOT = "result_time_per_output_token_99.00_percentile_ns"
GOOD = {"result_validity": "VALID", TTFT: 5_000_000, TPOT: 1_000_000}


def written(tmp_path, *entries):
    """A detail log of these entries, as LoadGen writes it."""
    path = tmp_path / "mlperf_log_detail.txt"
    lines = [f":::MLLOG {json.dumps({'key': k, 'value': v, 'metadata': m})}" for k, v, m in entries]
    path.write_text("\n".join(["a line of another kind", *lines, ":::MLLOG {cut"]))
    return path


def test_the_log_keeps_values_and_errors_apart(tmp_path):
    """The last value of a key holds; a line that was cut off is passed over."""
    log = read_log(
        written(
            tmp_path,
            ("result_validity", "INVALID", {}),
            ("result_validity", "VALID", {}),
            ("error_runtime", "late", {"is_error": True}),
            (TTFT, 2_000_000, {}),
        )
    )
    assert log.valid
    assert log.errors == ("error_runtime: late",)
    assert log.seconds(TTFT) == 0.002
    assert log.seconds(TPOT) is None


def test_no_log_is_one_clear_line(tmp_path):
    """As where LoadGen died."""
    with pytest.raises(ValueError, match="left no log"):
        read_log(tmp_path / "absent.txt")
    with pytest.raises(ValueError, match="no entry"):
        read_log(written(tmp_path))


def test_a_good_run_holds():
    """Verdict, tokens and latencies."""
    found = judged(Log(GOOD), scenario="server", answers=[4, 4], told_first=2)
    assert (found.valid, found.reasons, found.void) == (True, (), {})


@pytest.mark.parametrize(
    ("changed", "given", "said"),
    [
        ({"result_validity": "INVALID"}, {}, "LoadGen says INVALID"),
        ({}, {"answers": [4, 0]}, "1 of 2 answers have no token"),
        ({}, {"answers": []}, "0 of 0 answers"),
    ],
)
def test_a_run_that_does_not_hold_says_why(changed, given, said):
    """Against the whole run."""
    found = judged(
        Log(GOOD | changed), **({"scenario": "server", "answers": [4, 4], "told_first": 2} | given)
    )
    assert not found.valid
    assert said in " ".join(found.reasons)


def test_errors_speak_against_a_valid_run():
    """LoadGen only counts them."""
    assert not judged(Log(GOOD, ("e: x",)), scenario="server", answers=[4], told_first=1).valid


@pytest.mark.parametrize(
    ("changed", "given", "void"),
    [
        ({}, {"told_first": 1}, {"ttft", "tpot"}),
        ({TTFT: 0, TPOT: 0}, {}, {"ttft", "tpot"}),
        ({TPOT: -30}, {}, {"tpot"}),
        ({}, {"answers": [4, 1]}, {"tpot", "tokens"}),
        ({}, {"scenario": "offline"}, {"ttft", "tpot"}),
    ],
)
def test_figures_that_say_nothing_are_void(changed, given, void):
    """Zeros, answers of one token, first tokens that were never told: each with its reason."""
    found = judged(
        Log(GOOD | changed), **({"scenario": "server", "answers": [4, 4], "told_first": 2} | given)
    )
    assert found.valid
    assert set(found.void) == void


def test_the_schedule_is_read_from_the_trace(tmp_path):
    """When each sample was due, and how long it took from then; other lines are passed over."""
    path = tmp_path / "trace.json"
    path.write_text(
        '{"traceEvents":[\n{"name":"IssueQuery","ph":"X","pid":1,"tid":2,"ts":103.854,"dur":29.754,"args":{}},\n'
        '{"name":"Sample","cat":"default","ph":"b","pid":1,"id":0,"ts":103.563,"args":{"sample_seq":4,'
        '"query_seq":0,"sample_idx":3,"issue_start_ns":181,"complete_ns":6073273}},\n'
        '{"name":"Sample","cat":"default","ph":"e", "pid":1,"id":0,"ts":6176.836},\n'
        '{"name":"LogDetail","args":{"key":""sut_name""}},\n'
    )
    assert read_schedule(path) == {4: Scheduled(103_563, 6_073_273)}
    with pytest.raises(ValueError, match="left no trace"):
        read_schedule(tmp_path / "none")
