#!/usr/bin/env bash
# MLPerf LoadGen 6.0.17, MultiStream with token latencies: what its log calls the early-stopping estimates of the time
# to first token and of the time per output token are both the estimate of the whole query's latency. In SingleStream they are what they are called, but `early_stopping_latency_ss` is that of the first token.
#
# Good guess, and wrong: "early_stopping_tpot_result estimates TPOT, early_stopping_latency_ss the latency".
# Output seen (2 cores, Python 3.11.7); every answer has its first token after 10 ms, its third and last 100 ms later:
#   SingleStream: token estimate shorter than an answer; latency estimate is the first token's
#   MultiStream: token estimate as long as an answer; latency estimate is the first token's
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mlcommons-loadgen==6.0.17
cd "$folder"
"$folder/venv/bin/python" - <<'PY' | tee "$folder/seen"
import array
import json
import re
import threading
import time

import mlperf_loadgen as lg

FIRST_S, REST_S, TOKENS = 0.010, 0.100, 3
answer = array.array("q", range(TOKENS))
address = answer.buffer_info()[0]


def answered(ids):
    """Answer the samples of a query side by side."""
    time.sleep(FIRST_S)
    for one in ids:
        lg.FirstTokenComplete([lg.QuerySampleResponse(one, address, 8)])
    time.sleep(REST_S)
    for one in ids:
        lg.QuerySamplesComplete([lg.QuerySampleResponse(one, address, 8 * TOKENS, TOKENS)])


def issue(samples):
    threading.Thread(target=answered, args=([sample.id for sample in samples],)).start()


def run(scenario):
    """Run 64 queries; return the three estimates, ns."""
    asked = lg.TestSettings()
    asked.scenario, asked.mode = getattr(lg.TestScenario, scenario), lg.TestMode.PerformanceOnly
    asked.min_duration_ms, asked.min_query_count, asked.max_query_count = 0, 64, 64
    asked.single_stream_target_latency_percentile = asked.multi_stream_target_latency_percentile = 0.9
    asked.multi_stream_samples_per_query = 4
    asked.use_token_latencies, asked.ttft_latency, asked.tpot_latency = True, 10**10, 10**10
    output, logs = lg.LogOutputSettings(), lg.LogSettings()
    output.outdir, output.copy_summary_to_stdout, logs.log_output = ".", False, output
    sut, samples = lg.ConstructSUT(issue, lambda: None), lg.ConstructQSL(4, 4, lambda _: None, lambda _: None)
    lg.StartTestWithLogSettings(sut, samples, asked, logs, "none")
    lines = [line for line in open("mlperf_log_detail.txt") if line.startswith(":::MLLOG ")]
    log = {entry["key"]: entry["value"] for entry in (json.loads(line[9:]) for line in lines)}
    told = [re.search(r"90\.0th percentile estimate: (\d+)", log[f"early_stopping_{key}_result"]) for key in ("ttft", "tpot")]
    latency = log["early_stopping_latency_ss" if scenario == "SingleStream" else "early_stopping_latency_ms"]
    return int(told[0][1]), int(told[1][1]), latency


for scenario in ("SingleStream", "MultiStream"):
    first, token, latency = run(scenario)
    answer_ns = (FIRST_S + REST_S) * 1e9
    length = "as long as" if token >= answer_ns else "shorter than"
    whose = "the first token's" if first == latency else "not the first token's"
    print(f"{scenario}: token estimate {length} an answer; latency estimate is {whose}")
PY
diff "$folder/seen" - <<'SEEN'
SingleStream: token estimate shorter than an answer; latency estimate is the first token's
MultiStream: token estimate as long as an answer; latency estimate is the first token's
SEEN
