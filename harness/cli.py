"""The command line: verbs and their options. Each verb's work is imported only when it runs."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_REGRESSION, EXIT_INSUFFICIENT = 0, 1, 2, 3, 4
EXIT_INTERRUPTED = 130

_EXIT_CODES = (
    "exit codes: 0 ok · 1 some trials failed · 2 bad usage or input · 3 regression · 4 too little data to say"
)
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
  +experiment=demo                     a named sweep; a value given beside it narrows it
  measure=quick|demo|default|rigorous  how long and how often
  run.name=night run.results=/data     run control, no part of a trial's identity
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="joulemark",
        description="Benchmarks of reference workloads: time, energy and cost, each with its uncertainty.",
        epilog=f"{_FIRST_STEPS}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")

    def verb(name: str, summary: str, examples: str = "", *, json: bool = True) -> argparse.ArgumentParser:
        sub = verbs.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"{examples}\n{_EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if json:
            sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
        return sub

    def overrides(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "overrides", nargs="*", metavar="OVERRIDE", help="Hydra overrides, see below"
        ).completer = (  # type: ignore[attr-defined]
            _complete_override
        )
        sub.add_argument(
            "--config-dir",
            action="append",
            default=[],
            metavar="DIR",
            help="a folder of your own groups; may be repeated",
        )

    def results(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--results", default="results", metavar="DIR", help="the results folder (default: results)"
        )

    verb(
        "doctor",
        "tell what works on this machine, what does not, and how to mend it",
        "examples:\n  joulemark doctor\n  joulemark doctor --json\n",
    )

    sub = verb(
        "qualify",
        "calibrate and test the instrument on this machine, and measure what the device can do at most",
        "examples:\n  joulemark qualify\n  joulemark qualify --device cuda:1 --json\n"
        "  joulemark qualify --quick\n\nexit code 1: a check failed; the certificate is kept all the same\n",
    )
    sub.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N (default: auto)"
    )
    sub.add_argument("--quick", action="store_true", help="seconds instead of a minute, with fewer checks")
    results(sub)

    sub = verb(
        "list",
        "list what there is to run and to measure",
        "examples:\n  joulemark list workloads\n  joulemark list compressors\n"
        "  joulemark list metrics --json\n",
    )
    sub.add_argument(
        "what",
        choices=(
            "workloads",
            "compressors",
            "strategies",
            "devices",
            "sensors",
            "experiments",
            "groups",
            "metrics",
        ),
    )

    sub = verb(
        "plan",
        "show every trial with its identity, the refused cells and the time; run nothing",
        "examples:\n  joulemark plan +experiment=demo\n"
        "  joulemark plan workload=gpt,bert precision=fp32,bf16\n\n" + _OVERRIDES,
    )
    overrides(sub)

    sub = verb(
        "run",
        "run a sweep, or resume it: only what is missing runs",
        "examples:\n  joulemark run +experiment=demo\n"
        "  joulemark run workload=gpt workload.mode=decode measure=quick\n\n" + _OVERRIDES,
    )
    overrides(sub)

    sub = verb(
        "status",
        "tell what of a sweep is done, failed and left",
        "examples:\n  joulemark status demo\n  joulemark status demo --json\n",
    )
    sub.add_argument("sweep", metavar="SWEEP").completer = _complete_sweep  # type: ignore[attr-defined]
    results(sub)

    sub = verb(
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
    sub.usage = "joulemark ab [options] BASE HEAD [OVERRIDE ...]"
    overrides(sub)
    for side in ("base", "head"):
        sub.add_argument(f"--{side}-python", metavar="PATH", help=f"the {side}'s Python interpreter")
        sub.add_argument(
            f"--{side}-checkout",
            metavar="DIR|REVISION",
            help=f"sources that come first on the {side}'s import path: a folder, or a git revision",
        )
    sub.add_argument("--pair-seconds", type=float, metavar="S", help="measured time of each process")
    sub.add_argument(
        "--delta", type=float, default=0.01, metavar="D", help="differences below it do not matter (0.01)"
    )
    sub.add_argument("--name", help="name of its two sweeps; a name that exists goes on where it stopped")

    sub = verb(
        "compare",
        "compare two sweeps from their records alone",
        "examples:\n  joulemark compare last-week today\n"
        "  joulemark compare here/results/demo there/results/demo --json\n"
        "  joulemark compare demo-torch-2.12 demo-torch-2.13 --allow software\n"
        "  joulemark compare demo foreign/out.json     what `joulemark import out.json` kept\n\n"
        "Trials are joined by what they compute. Differences of hardware are printed; differences of\n"
        "software are refused unless allowed, as they may be what made the difference. Another tool's\n"
        "numbers stand beside ours, unverified, and are never judged: the exit code is 4.\n",
    )
    for side in ("a", "b"):
        sub.add_argument(
            side, metavar=side.upper(), help="a sweep's name, the path of its folder, or foreign/FILE"
        ).completer = _complete_sweep  # type: ignore[attr-defined]
    sub.add_argument(
        "--allow", action="append", default=[], choices=("software",), help="compare all the same"
    )
    sub.add_argument(
        "--delta", type=float, default=0.01, metavar="D", help="differences below it do not matter (0.01)"
    )
    results(sub)

    sub = verb(
        "report",
        "draw the report of one or more sweeps from their records",
        "examples:\n  joulemark report demo\n"
        "  joulemark report demo nightly --format html,pdf -o reports/both\n",
    )
    sub.add_argument("sweeps", nargs="+", metavar="SWEEP").completer = _complete_sweep  # type: ignore[attr-defined]
    sub.add_argument(
        "--format", default="html,pdf,md", metavar="LIST", help="of html, pdf and md (default: all)"
    )
    sub.add_argument("-o", "--output", metavar="DIR", help="the folder to write to (default: reports/SWEEP)")
    sub.add_argument("--title", metavar="TEXT", help="the document's title")
    sub.add_argument(
        "--price",
        metavar="NAME",
        help="money and carbon by conf/price/NAME.yaml, or by a .yaml file (default: what the records name)",
    )
    results(sub)

    sub = verb(
        "gate",
        "judge the newest night by a policy: screen it, and confirm suspects by pairs in the same job",
        "examples:\n  joulemark gate --history results --policy gate.yaml\n"
        "  joulemark gate --policy gate.yaml --night nightly-20260101 --markdown summary.md\n"
        "  joulemark gate --policy gate.yaml --noise-floor 'aa-*'     what A/A runs of `ab` scatter by\n\n"
        "Pairs are measured against the commit of the accepted night two weeks back, unless --base- names\n"
        "another. The verdict is kept in the night's own folder, where the next night reads it.\n",
    )
    sub.add_argument("--history", default="results", metavar="DIR", help="the results folder (results)")
    sub.add_argument("--policy", required=True, metavar="FILE", help="which metrics, how strictly (YAML)")
    sub.add_argument("--night", metavar="SWEEP", help="the night to judge (default: the newest)")
    sub.add_argument("--screen-only", action="store_true", help="measure no pairs: suspects stay suspicious")
    sub.add_argument("--markdown", metavar="FILE", help="also write the verdict as Markdown")
    sub.add_argument("--noise-floor", metavar="PATTERN", help="read A/A sessions of these names instead")
    sub.add_argument(
        "--floors", metavar="FILE", help="what --noise-floor --json printed, in place of the policy's floors"
    )
    for side in ("base", "head"):
        sub.add_argument(f"--{side}-python", metavar="PATH", help=f"the {side}'s Python interpreter")
        sub.add_argument(
            f"--{side}-checkout", metavar="DIR|REVISION", help=f"the {side}'s sources: a folder or a revision"
        )
    sub.add_argument("--pair-seconds", type=float, metavar="S", help="measured time of each process")
    sub.add_argument("--config-dir", action="append", default=[], metavar="DIR", help="your own groups")

    sub = verb(
        "bisect",
        "find the commit that made a configuration slower, by git bisect and pairs of processes",
        "examples:\n  joulemark bisect v1.0 HEAD workload=gpt workload.mode=train --pair-seconds 2\n"
        "  joulemark bisect abc123 def456 workload=mlp --metric energy.sample\n\n"
        "The commits are checked out into folders of their own; yours is not touched.\n\n" + _OVERRIDES,
    )
    sub.add_argument("good", metavar="GOOD", help="a revision without the regression")
    sub.add_argument("bad", metavar="BAD", help="a revision with it")
    overrides(sub)
    sub.add_argument("--repository", default=".", metavar="DIR", help="a folder of the repository (.)")
    sub.add_argument("--metric", metavar="ID", help="decide by this metric (default: iteration time)")
    sub.add_argument("--python", metavar="PATH", help="the interpreter that runs the commits")
    sub.add_argument("--pair-seconds", type=float, metavar="S", help="measured time of each process")
    sub.add_argument(
        "--delta", type=float, default=0.01, metavar="D", help="the least effect worth searching for (0.01)"
    )
    results(sub)

    sub = verb(
        "import",
        "keep another tool's results for comparison: foreign, unverified and without intervals",
        "examples:\n  joulemark import out.json --from pytest-benchmark\n"
        "  joulemark import benchmark_report.json --from optimum-benchmark\n"
        "  joulemark import summary_results.json --from mlperf\n",
    )
    sub.add_argument("file", metavar="FILE")
    sub.add_argument(
        "--from",
        dest="source",
        required=True,
        choices=("pytest-benchmark", "optimum-benchmark", "superbench", "mlperf"),
        help="the tool that wrote it",
    )
    results(sub)

    sub = verb(
        "bundle",
        "put sweeps into one file, listed with their sha256",
        "examples:\n  joulemark bundle demo -o demo.tar\n",
    )
    sub.add_argument("sweeps", nargs="+", metavar="SWEEP").completer = _complete_sweep  # type: ignore[attr-defined]
    sub.add_argument("-o", "--output", metavar="FILE", help="the file (default: SWEEP.tar)")
    results(sub)

    sub = verb("verify", "check a bundle, file by file", "examples:\n  joulemark verify demo.tar\n")
    sub.add_argument("bundle", metavar="BUNDLE")

    sub = verb(
        "merge",
        "add the sweeps of bundles to a results folder; nothing in it is overwritten",
        "examples:\n  joulemark merge one.tar two.tar --results all\n",
    )
    sub.add_argument("bundles", nargs="+", metavar="BUNDLE")
    results(sub)

    sub = verb(
        "export",
        "write the results of sweeps in another tool's format",
        "examples:\n  joulemark export demo --to junit -o demo.xml\n"
        "  joulemark export demo --to markdown -o summary.md\n"
        "  joulemark export base head --to csv\n\n"
        "formats: junit, pytest-benchmark, bencher, github-action-benchmark, csv, parquet, markdown,\n"
        "mlperf-system, prometheus, openmetrics, tensorboard, mlflow; other packages may add theirs\n",
    )
    sub.add_argument("sweeps", nargs="+", metavar="SWEEP").completer = _complete_sweep  # type: ignore[attr-defined]
    sub.add_argument("--to", required=True, metavar="FORMAT", help="the format")
    sub.add_argument("-o", "--output", metavar="PATH", help="the file, or folder (default: SWEEP-FORMAT)")
    results(sub)

    sub = verb(
        "index",
        "rebuild the index that is derived from the records, or query it with SQL",
        "examples:\n  joulemark index rebuild\n  joulemark index query 'SELECT label, status FROM records'\n"
        "  joulemark index query 'SELECT * FROM metrics LIMIT 5' --json\n",
    )
    sub.add_argument("action", choices=("rebuild", "query"))
    sub.add_argument(
        "sql", nargs="*", metavar="SQL", help="one read-only query over records, metrics and trials"
    )
    results(sub)

    sub = verb(
        "completion",
        "print the shell code that completes this command",
        'examples:\n  eval "$(joulemark completion bash)"\n',
        json=False,
    )
    sub.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def _complete_override(prefix: str, **_: object) -> list[str]:
    """Complete `workload=g` to the options of a group, read from the names of its files."""
    from harness.completion import overrides

    return overrides(prefix)


def _complete_sweep(prefix: str, **_: object) -> list[str]:
    from harness.completion import sweeps

    return sweeps(prefix)


_VERBS = {
    "doctor": "harness.commands.doctor",
    "qualify": "harness.commands.qualify",
    "list": "harness.commands.listing",
    "plan": "harness.commands.plan",
    "run": "harness.commands.run",
    "status": "harness.commands.status",
    "ab": "harness.commands.ab",
    "compare": "harness.commands.compare",
    "report": "harness.commands.report",
    "gate": "harness.commands.gate",
    "bisect": "harness.commands.bisect",
    "import": "harness.commands.import_",
    "bundle": "harness.commands.bundle",
    "verify": "harness.commands.bundle",
    "merge": "harness.commands.bundle",
    "export": "harness.commands.export",
    "index": "harness.commands.index",
    "completion": "harness.completion",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; an error is one line, and `--debug` shows where it came from."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    options, rest = parser.parse_known_args(arguments)
    # argparse ends a list of words at the first option among them; what follows belongs to it too.
    for name in ("overrides", "sql"):
        if hasattr(options, name):
            getattr(options, name).extend(word for word in rest if not word.startswith("-"))
            rest = [word for word in rest if word.startswith("-")]
    if options.version:
        from harness import __version__

        print(f"joulemark {__version__}")
        return EXIT_OK
    if options.verb is None:
        parser.print_help()
        return EXIT_USAGE
    if rest:
        parser.error(f"not understood: {' '.join(rest)}; see `joulemark {options.verb} --help`")
    try:
        code: int = importlib.import_module(_VERBS[options.verb]).main(options)
    except KeyboardInterrupt:
        print("joulemark: interrupted; what is finished is kept, the same command resumes", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except (ValueError, OSError, RuntimeError) as error:
        if options.debug:
            raise
        from harness.commands.output import visible

        said = " ".join(str(error).split()) or type(error).__name__
        print(f"joulemark: {visible(said)}", file=sys.stderr)
        return EXIT_USAGE
    return code


if __name__ == "__main__":
    sys.exit(main())
