"""The endpoint client against the scripted server, at 1, 32 and 200 streams: what it says beside the script.

Each point must be within the larger of 2 % and 3 ms of the script, or be told as client-bound by the rule
that judges records. The server runs in a process of its own and says how late it wrote.

python benchmarks/endpoint_client.py [--seconds 5] [--streams 1,32,200]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from harness.records.metrics import make
from harness.records.validity import RULES
from harness.serving.endpoint.address import parse_url
from harness.serving.endpoint.client import Asked, Client, Told
from harness.serving.endpoint.load import Load, Span
from harness.serving.endpoint.watch import LoopWatch, client_facts
from harness.serving.metrics import Limits, metrics_of

SERVER = Path(__file__).parents[1] / "tests" / "standins" / "endpoint.py"
TOKENS = 48
_LATE_S = 0.003
TRUTH = {  # s, by model: first token at 100 ms, then a chunk every 10 ms
    "plain": {"ttft": 0.100, "tpot": 0.010, "gap": 0.010, "e2e": 0.100 + 47 * 0.010},
    "comments": {"ttft": 0.100, "tpot": 0.010, "gap": 0.010, "e2e": 0.100 + 47 * 0.010},
    "three": {"ttft": 0.100, "tpot": 0.150 / 47, "gap": 0.010, "e2e": 0.100 + 15 * 0.010},
    "reasoning": {"ttft": 0.100, "ttfa": 0.140, "tpot": 0.010, "gap": 0.010, "e2e": 0.100 + 47 * 0.010},
}


async def point(url: str, model: str, streams: int, seconds: float) -> tuple[list[Any], dict[str, Any]]:
    """Return the metrics of one point, and what the client knows of itself."""
    client = await Client.open(Asked(parse_url(url), model))

    async def ask(number: int, *, arrival_ns: int, counted: bool) -> Told:
        return await client.ask(number, "hello", TOKENS, arrival_ns=arrival_ns, counted=counted)

    with LoopWatch() as watch:
        loaded = await Load(ask, Span(1.0, seconds)).closed(streams)
    client.close()
    failed = [told.request.ended for told in loaded.told if not told.request.answered]
    assert not failed, failed[:5]
    found = metrics_of(loaded.requests, (loaded.begin_ns, loaded.end_ns), Limits())
    return found, client_facts(loaded.told, watch)


def judged(model: str, streams: int, metrics: list[Any], facts: dict[str, Any], *, late: bool) -> list[str]:
    """Print one point; return the verdict on each figure. A late server has no truth to be held to."""
    values = {metric.id: metric for metric in metrics}
    rule, verdicts = RULES["client_bound"], []
    for name, true_s in TRUTH[model].items():
        for metric_id in (f"latency.{name}", f"latency.{name}.p50", f"latency.{name}.p90"):
            metric = values.get(metric_id) or make(metric_id, None, reason="none")
            if metric.value is None:
                verdicts.append("unavailable")
                print(f"{model:10} {streams:4} {metric_id:18} unavailable: {metric.reason}")
                continue
            off_s = metric.value - true_s
            right = abs(off_s) <= max(0.02 * true_s, 0.003)
            bound = rule.fires(facts, rule.threshold, metric)
            word = "client-bound" if bound else "right" if right else "server late" if late else "WRONG"
            shown = f"{metric.value * 1e3:9.3f} ms  {off_s * 1e3:+8.3f}"
            verdicts.append(word)
            print(f"{model:10} {streams:4} {metric_id:18} {shown}  {word}")
    print(
        f"{model:10} {streams:4} late reads p99 {1e3 * (facts['late_reads_s'] or 0):.2f} ms, loop lag p99 "
        f"{1e3 * facts['loop_lag_s']:.2f} ms, CPU {facts['cpu_share']:.0%}, {facts['events']} events in "
        f"{facts['reads']} reads, {facts['shared_reads']} with several"
    )
    return verdicts


def main() -> int:
    """Run every point; 1 where a figure is wrong and not told; 4 where the server was late."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--streams", default="1,32,200")
    parser.add_argument("--models", default=",".join(TRUTH))
    options = parser.parse_args()
    verdicts: list[str] = []
    for model in options.models.split(","):
        for streams in map(int, options.streams.split(",")):
            server = subprocess.Popen(
                [sys.executable, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert server.stdout is not None
            port = int(server.stdout.readline())
            found, facts = asyncio.run(point(f"http://127.0.0.1:{port}/v1", model, streams, options.seconds))
            told, _ = server.communicate("")
            wrote = json.loads(told)
            late_s = wrote["late_p99_s"]
            verdicts += judged(model, streams, found, facts, late=late_s > _LATE_S)
            words = f"the server wrote {wrote['writes']} times, p99 {1e3 * late_s:.2f} ms late"
            print(f"{model:10} {streams:4} {words}\n")
    counts = Counter(verdicts)
    print(", ".join(f"{count} figures {word}" for word, count in counts.most_common()))
    if counts["WRONG"]:
        print("A FIGURE IS WRONG AND NOT TOLD")
        return 1
    if counts["server late"] or not counts["right"]:
        print("not every figure could be held to the script: repeat it on a quiet machine")
        return 4
    print("every figure is right or told as client-bound")
    return 0


if __name__ == "__main__":
    sys.exit(main())
