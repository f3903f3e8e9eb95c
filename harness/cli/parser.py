"""The verbs of the command line: options, examples and exit codes. Nothing here runs one."""

from __future__ import annotations

import argparse

from harness.cli.bundle_verbs import add_bundle_verbs
from harness.cli.decision_verbs import add_decision_verbs
from harness.cli.verb import EXIT_CODES, Parser, Verbs

_FIRST_STEPS = """\
first steps:
  joulemark doctor
  joulemark run +experiment=demo
  joulemark report demo
"""
_OVERRIDES = """\
overrides are Hydra's:
  workload=gpt workload.size=base      choose a group's file, set a key
  workload=gpt,bert precision=fp32,bf16   sweep: every combination is a trial
  workload.shape.layers=4              any other key of the workload's size
  seed='range(5)'                      a range of values
  +experiment=demo                     a named sweep; an additional value narrows it
  measure=quick|demo|default|rigorous  how long and how often
  run.name=night run.results=/data     run control, no part of a trial's identity
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `joulemark`, which sets `verb` and that verb's options."""
    made = Parser(
        prog="joulemark",
        description="Benchmarks of reference workloads: time, energy and cost, each with its uncertainty.",
        epilog=f"{_FIRST_STEPS}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="store_true", help="print the version and leave")
    verbs = Verbs(made)
    _machine(verbs)
    _sweeps(verbs)
    _goodput(verbs)
    _report(verbs)
    add_decision_verbs(verbs)
    _comparisons(verbs)
    _regressions(verbs)
    _exchange(verbs)
    add_bundle_verbs(verbs)
    _tools(verbs)
    return made


def _machine(verbs: Verbs) -> None:
    verb = verbs(
        "doctor",
        "show what works on this machine, what does not, and how to fix it",
        "examples:\n  joulemark doctor\n  joulemark doctor --meter file:/var/log/smi.csv\n",
    )
    verb.add_argument(
        "--meter", action="append", default=[], metavar="DEVICE",
        help="say what would be read of this external meter, as power.devices takes it",
    )  # fmt: skip

    verb = verbs(
        "qualify",
        "calibrate and test the instrument on this machine, and measure what the device can do at most",
        "examples:\n  joulemark qualify\n  joulemark qualify --device cuda:1 --json\n"
        "  joulemark qualify --quick\n\nexit code 1: a check failed; the certificate is kept anyway\n",
    )
    verb.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N (default: auto)"
    )
    verb.add_argument("--quick", action="store_true", help="seconds instead of a minute, with fewer checks")
    verb.add_argument(
        "--quiet-wait",
        type=float,
        default=0.0,
        metavar="S",
        help="wait up to S seconds for a quiet host (default: 0); one made on a busy host gives no MFU",
    )
    verb.results()


def _sweeps(verbs: Verbs) -> None:
    verb = verbs(
        "list",
        "list what there is to run and to measure",
        "examples:\n  joulemark list workloads\n  joulemark list compressors\n"
        "  joulemark list metrics --json\n",
    )
    kinds = "workloads compressors strategies devices sensors experiments groups metrics"
    verb.add_argument("what", choices=kinds.split())

    verb = verbs(
        "plan",
        "show every trial with its identity, the refused cells and the time; run nothing",
        "examples:\n  joulemark plan +experiment=demo\n"
        "  joulemark plan workload=gpt,bert precision=fp32,bf16\n"
        "  joulemark plan --needs workload=gpt workload.size=gpt3\n\n" + _OVERRIDES,
    )
    verb.add_argument(
        "--needs",
        action="store_true",
        help="count each model's parameters, FLOPs and least memory, without building it in memory",
    )
    verb.overrides()

    verb = verbs(
        "run",
        "run a sweep, or resume it: only what is missing runs",
        "examples:\n  joulemark run +experiment=demo\n"
        "  joulemark run workload=gpt workload.mode=decode measure=quick\n"
        "  joulemark run +experiment=tune workload=mlp workload.mode=infer\n"
        "  joulemark run +experiment=gpu device=cuda run.on=slurm run.slurm.partition=gpu\n\n" + _OVERRIDES,
    )
    verb.overrides()
    verb.add_argument(
        "--block", metavar="I/N", help="run one of N parts of the sweep beside the others, as a cluster's job"
    )

    verb = verbs(
        "status",
        "show what of a sweep is done, failed and left",
        "examples:\n  joulemark status demo\n  joulemark status demo --json\n",
    )
    verb.sweep()
    verb.results()


def _goodput(verbs: Verbs) -> None:
    verb = verbs(
        "goodput",
        "find the highest rate at which served requests keep their limits",
        "examples:\n"
        "  joulemark goodput workload=gpt workload.mode=serve serve.arrivals=poisson serve.ttft_limit_s=0.1\n"
        "  joulemark goodput workload=mamba workload.mode=serve serve.arrivals=poisson serve.e2e_limit_s=2 "
        "--start 4\n\nexit code 3: no rate keeps them\n\n" + _OVERRIDES,
    )
    verb.overrides()
    verb.add_argument(
        "--start", type=float, default=1.0, metavar="R", help="requests/s to begin with (default: 1)"
    )
    verb.add_argument(
        "--tolerance", type=float, default=0.02, metavar="T", help="relative width to stop at (default: 0.02)"
    )
    verb.add_argument(
        "--most", type=int, default=10, metavar="N", help="runs of a rate at most (default: 10)"
    )


def _report(verbs: Verbs) -> None:
    verb = verbs(
        "report",
        "draw the report of one or more sweeps from their records",
        "examples:\n  joulemark report demo\n"
        "  joulemark report demo nightly --format html,pdf -o reports/both\n",
    )
    verb.sweep("sweeps", nargs="+")
    verb.add_argument(
        "--format", default="html,pdf,md", metavar="LIST", help="of html, pdf and md (default: all)"
    )
    verb.add_argument("-o", "--output", metavar="DIR", help="the folder to write to (default: reports/SWEEP)")
    verb.add_argument("--title", metavar="TEXT", help="the document's title")
    verb.add_argument(
        "--price",
        metavar="NAME",
        help="money and carbon by conf/price/NAME.yaml, or by a .yaml file (default: what the records name)",
    )
    verb.add_argument(
        "--for", dest="requirements", metavar="FILE", help="answer this question first (see recommend)"
    )
    verb.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="METRIC=AMOUNT",
        help="only what keeps it can be best, e.g. latency.p99=200ms; may be repeated (default: as recorded)",
    )
    verb.results()


def _comparisons(verbs: Verbs) -> None:
    verb = verbs(
        "ab",
        "compare two configurations, environments or checkouts by interleaved pairs of processes",
        "examples:\n"
        "  joulemark ab precision=fp32 precision=bf16 workload=gpt workload.mode=decode\n"
        "  joulemark ab '' '' workload=mlp --pair-seconds 1       the same twice: what noise looks like\n"
        "  joulemark ab --base-checkout main --head-checkout . workload=gpt workload.mode=train\n"
        "  joulemark ab --head-python other/bin/python workload=bert workload.mode=infer\n\n"
        "BASE and HEAD are each a quoted list of overrides, on top of the shared ones. With a --base- or\n"
        "--head- option there is one configuration, and all words belong to it. Looks are taken after 6,\n"
        "10, 16 and 24 pairs. The first verdict on the headline, the first line of the table, ends it:\n"
        "exit code 0 for better and equivalent, 3 for worse, 4 for inconclusive.\n\n" + _OVERRIDES,
    )
    verb.usage = "joulemark ab [options] BASE HEAD [OVERRIDE ...]"
    verb.overrides()
    verb.sides()
    verb.pairs()
    verb.delta()
    verb.add_argument("--name", help="name of its two sweeps; an existing name continues where it stopped")

    verb = verbs(
        "compare",
        "compare two sweeps from their records alone",
        "examples:\n  joulemark compare last-week today\n"
        "  joulemark compare here/results/demo there/results/demo --json\n"
        "  joulemark compare demo-torch-2.12 demo-torch-2.13 --allow software\n"
        "  joulemark compare demo foreign/out.json     what `joulemark import out.json` kept\n\n"
        "Trials are joined by what they compute. Differences of hardware are printed; differences of\n"
        "software are refused unless allowed, as they may be what made the difference. Another tool's\n"
        "numbers are shown next to ours, unverified, and are never judged: the exit code is 4.\n",
    )
    for side in ("a", "b"):
        verb.sweep(side, metavar=side.upper(), help="a sweep's name, the path of its folder, or foreign/FILE")
    verb.add_argument(
        "--allow", action="append", default=[], choices=("software",), help="compare despite this difference"
    )
    verb.delta()
    verb.results()


def _regressions(verbs: Verbs) -> None:
    verb = verbs(
        "gate",
        "judge the newest night by a policy: screen it, and confirm suspects by pairs in the same job",
        "examples:\n  joulemark gate --history results --policy gate.yaml\n"
        "  joulemark gate --policy gate.yaml --night nightly-20260101 --markdown summary.md\n"
        "  joulemark gate --policy gate.yaml --noise-floor 'aa-*'     what A/A runs of `ab` scatter by\n\n"
        "Pairs are measured against the commit of the accepted night two weeks back, unless --base- names\n"
        "another. The verdict is kept in the night's own folder, where the next night reads it.\n",
    )
    verb.results("--history")
    verb.add_argument("--policy", required=True, metavar="FILE", help="which metrics, how strictly (YAML)")
    verb.add_argument("--night", metavar="SWEEP", help="the night to judge (default: the newest)")
    verb.add_argument("--screen-only", action="store_true", help="measure no pairs: suspects stay suspicious")
    verb.add_argument("--markdown", metavar="FILE", help="also write the verdict as Markdown")
    verb.add_argument("--noise-floor", metavar="PATTERN", help="read A/A sessions of these names instead")
    verb.add_argument(
        "--floors", metavar="FILE", help="what --noise-floor --json printed, in place of the policy's floors"
    )
    verb.sides()
    verb.pairs()
    verb.config_dir()

    verb = verbs(
        "bisect",
        "find the commit that made a configuration slower, by git bisect and pairs of processes",
        "examples:\n  joulemark bisect v1.0 HEAD workload=gpt workload.mode=train --pair-seconds 2\n"
        "  joulemark bisect abc123 def456 workload=mlp --metric energy.sample\n\n"
        "The commits are checked out into folders of their own; yours is not touched.\n\n" + _OVERRIDES,
    )
    verb.add_argument("good", metavar="GOOD", help="a revision without the regression")
    verb.add_argument("bad", metavar="BAD", help="a revision with it")
    verb.overrides()
    verb.add_argument("--repository", default=".", metavar="DIR", help="a folder of the repository (.)")
    verb.add_argument("--metric", metavar="ID", help="decide by this metric (default: iteration time)")
    verb.add_argument("--python", metavar="PATH", help="the interpreter that runs the commits")
    verb.pairs()
    verb.delta()
    verb.results()


def _exchange(verbs: Verbs) -> None:
    verb = verbs(
        "export",
        "write the results of sweeps in another tool's format",
        "examples:\n  joulemark export demo --to junit -o demo.xml\n"
        "  joulemark export demo --to markdown -o summary.md\n"
        "  joulemark export base head --to csv\n\n"
        "formats: junit, pytest-benchmark, bencher, github-action-benchmark, csv, parquet, markdown,\n"
        "mlperf-system, prometheus, openmetrics, tensorboard, mlflow; other packages may add theirs\n",
    )
    verb.sweep("sweeps", nargs="+")
    verb.add_argument("--to", required=True, metavar="FORMAT", help="the format")
    verb.add_argument("-o", "--output", metavar="PATH", help="the file, or folder (default: SWEEP-FORMAT)")
    verb.results()

    verb = verbs(
        "import",
        "keep another tool's results for comparison: foreign, unverified and without intervals",
        "examples:\n  joulemark import out.json --from pytest-benchmark\n"
        "  joulemark import benchmark_report.json --from optimum-benchmark\n"
        "  joulemark import summary_results.json --from mlperf\n",
    )
    verb.add_argument("file", metavar="FILE")
    verb.add_argument(
        "--from",
        dest="source",
        required=True,
        choices=(
            *("pytest-benchmark", "optimum-benchmark", "superbench", "mlperf", "aiperf", "genai-perf"),
            *("guidellm", "inference-perf", "vllm-bench", "nvbench"),
        ),
        help="the tool that wrote it",
    )
    verb.results()


def _tools(verbs: Verbs) -> None:
    verb = verbs(
        "index",
        "rebuild the index that is derived from the records, or query it with SQL",
        "examples:\n  joulemark index rebuild\n  joulemark index query 'SELECT label, status FROM records'\n"
        "  joulemark index query 'SELECT * FROM metrics LIMIT 5' --json\n",
    )
    verb.add_argument("action", choices=("rebuild", "query"))
    verb.add_argument(
        "sql", nargs="*", metavar="SQL", help="one read-only query over records, metrics and trials"
    )
    verb.results()

    verb = verbs(
        "completion",
        "print the shell code that completes this command",
        'examples:\n  eval "$(joulemark completion bash)"\n',
        json=False,
    )
    verb.add_argument("shell", choices=("bash", "zsh", "fish"))
