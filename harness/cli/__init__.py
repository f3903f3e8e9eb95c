"""The command line. Each verb's work is imported only when it runs."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from harness.cli.parser import build_parser
from harness.cli.streams import prepare

EXIT_OK, EXIT_USAGE, EXIT_INTERRUPTED = 0, 2, 130

_VERBS = {
    "doctor": "harness.cli.commands.doctor",
    "qualify": "harness.cli.commands.qualify",
    "list": "harness.cli.commands.listing",
    "plan": "harness.cli.commands.plan",
    "run": "harness.cli.commands.run",
    "status": "harness.cli.commands.status",
    "ab": "harness.cli.commands.ab",
    "explain": "harness.cli.commands.explain",
    "accept": "harness.cli.commands.accept",
    "compare": "harness.cli.commands.compare",
    "report": "harness.cli.commands.report",
    "recommend": "harness.cli.commands.recommend",
    "gate": "harness.cli.commands.gate",
    "bisect": "harness.cli.commands.bisect",
    "import": "harness.cli.commands.import_",
    "bundle": "harness.cli.commands.bundle",
    "verify": "harness.cli.commands.bundle",
    "merge": "harness.cli.commands.bundle",
    "export": "harness.cli.commands.export",
    "index": "harness.cli.commands.index",
    "completion": "harness.cli.completion",
}
_MEASURING = ("run", "ab", "gate", "bisect", "qualify")


def _stop(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does: the replica in flight is recorded as interrupted and nothing is left running."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough, and a second would stop the tidying up
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; an error is one line, and `--debug` shows where it came from."""
    prepare()
    parser = build_parser()
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
    if options.verb in _MEASURING:
        signal.signal(signal.SIGTERM, _stop)
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
        from harness.cli.output import visible

        said = " ".join(str(error).split()) or type(error).__name__
        print(f"joulemark: {visible(said)}", file=sys.stderr)
        return EXIT_USAGE
    return code
