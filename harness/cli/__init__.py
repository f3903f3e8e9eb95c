"""The command line. Each verb's work is imported only when it runs."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from harness.cli.streams import prepare
from harness.system.errors import HOST_LIMITS, JoulemarkError, UsageError
from harness.system.interrupts import take_signals, was_interrupted

EXIT_OK, EXIT_FAULT, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
ISSUES = "https://github.com/joulemark/joulemark/issues"

_VERBS = {
    "doctor": "harness.cli.commands.doctor",
    "qualify": "harness.cli.commands.qualify",
    "list": "harness.cli.commands.listing",
    "plan": "harness.cli.commands.plan",
    "run": "harness.cli.commands.run",
    "goodput": "harness.cli.commands.goodput",
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
    "audit": "harness.cli.commands.audit",
    "adopt": "harness.cli.commands.adopt",
    "export": "harness.cli.commands.export",
    "index": "harness.cli.commands.index",
    "completion": "harness.cli.completion",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; without arguments, this process is that command's.

    SIGTERM and a terminal that closes end it as Ctrl-C does: the replica in flight is recorded as
    interrupted, and nothing is left running.

    What the user can put right (`JoulemarkError`) is one line and exit code 2; any other exception is a fault
    of our own: one line that asks for a report, and exit code 1. `--debug` shows where either came from.
    """
    debug = False
    try:
        if arguments is None:
            take_signals()
        prepare()
        from harness.cli.parser import build_parser

        parser = build_parser()
        if "_ARGCOMPLETE" in os.environ:
            import argcomplete

            argcomplete.autocomplete(parser)
        options = _parsed(parser, arguments)
        debug = getattr(options, "debug", False)
        if options.version:
            from harness import __version__

            print(f"joulemark {__version__}")
            return EXIT_OK
        if options.verb is None:
            parser.print_help()
            return EXIT_USAGE
        code: int = importlib.import_module(_VERBS[options.verb]).main(options)
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        # The reader of our output has left, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception as error:
        if debug:
            raise
        if was_interrupted() and not isinstance(error, JoulemarkError):
            return _interrupted()
        return _say(error)
    return code


def _interrupted() -> int:
    print("joulemark: interrupted; what is finished is kept, the same command resumes", file=sys.stderr)
    return EXIT_INTERRUPTED


def _parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    options, rest = parser.parse_known_args(arguments)
    # argparse ends a list of words at the first option among them; what follows belongs to it too.
    for name in ("overrides", "sql"):
        if hasattr(options, name):
            getattr(options, name).extend(word for word in rest if not word.startswith("-"))
            rest = [word for word in rest if word.startswith("-")]
    if rest:
        verb = f" {options.verb}" if options.verb else ""
        raise UsageError(f"not understood: {' '.join(rest)}; see `joulemark{verb} --help`")
    return options


def _say(error: Exception) -> int:
    """Print an error in one line, and return the exit code that it deserves."""
    from harness.cli.output import visible

    said = visible(" ".join(str(error).split()))
    kind = type(error).__name__
    if isinstance(error, JoulemarkError) or (isinstance(error, OSError) and error.errno in HOST_LIMITS):
        print(f"joulemark: {said or kind}", file=sys.stderr)
        return EXIT_USAGE
    print(
        f"joulemark: this is a fault of Joulemark, not of your input; please report it at {ISSUES} with what "
        f"--debug adds ({kind}: {said[:300]})",
        file=sys.stderr,
    )
    return EXIT_FAULT
