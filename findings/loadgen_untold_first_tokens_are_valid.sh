#!/usr/bin/env bash
# MLPerf LoadGen 6.0.17, Server with token latencies: a system that never reports its first tokens is VALID against a
# limit of one nanosecond to the first token, with a time to first token of exactly 0 ns. One that reports them keeps no
# such limit and is INVALID. Reporting less makes a run valid.
#
# Good guess, and wrong: "a run without first tokens cannot keep a limit on the time to first token".
# Output seen (2 cores, Python 3.11.7):
#   first tokens reported: INVALID, time to first token above 0
#   first tokens never reported: VALID, time to first token 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mlcommons-loadgen==6.0.17
cd "$folder"
"$folder/venv/bin/python" - <<'PY' | tee "$folder/seen"
import array
import json
import threading
import time

import mlperf_loadgen as lg

answer = array.array("q", range(3))
address = answer.buffer_info()[0]


def run(*, reports):
    """Run 64 queries of three tokens; return the verdict and the 99th percentile of the time to first token."""

    def answered(one):
        time.sleep(0.002)
        if reports:
            lg.FirstTokenComplete([lg.QuerySampleResponse(one, address, 8)])
        time.sleep(0.002)
        lg.QuerySamplesComplete([lg.QuerySampleResponse(one, address, 24, 3)])

    def issue(samples):
        threading.Thread(target=answered, args=(samples[0].id,)).start()

    asked = lg.TestSettings()
    asked.scenario, asked.mode = lg.TestScenario.Server, lg.TestMode.PerformanceOnly
    asked.min_duration_ms, asked.min_query_count, asked.server_target_qps = 0, 64, 200
    asked.server_target_latency_percentile = 0.9
    asked.use_token_latencies, asked.ttft_latency, asked.tpot_latency = True, 1, 10**10
    output, logs = lg.LogOutputSettings(), lg.LogSettings()
    output.outdir, output.copy_summary_to_stdout, logs.log_output = ".", False, output
    sut, samples = lg.ConstructSUT(issue, lambda: None), lg.ConstructQSL(4, 4, lambda _: None, lambda _: None)
    lg.StartTestWithLogSettings(sut, samples, asked, logs, "none")
    lines = [line for line in open("mlperf_log_detail.txt") if line.startswith(":::MLLOG ")]
    log = {entry["key"]: entry["value"] for entry in (json.loads(line[9:]) for line in lines)}
    return log["result_validity"], log["result_first_token_99.00_percentile_latency_ns"]


for name, reports in (("reported", True), ("never reported", False)):
    verdict, first_ns = run(reports=reports)
    print(f"first tokens {name}: {verdict}, time to first token {'above 0' if first_ns > 0 else first_ns}")
PY
diff "$folder/seen" - <<'SEEN'
first tokens reported: INVALID, time to first token above 0
first tokens never reported: VALID, time to first token 0
SEEN
