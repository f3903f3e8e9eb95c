"""One verb of the command line: its help, and the options that several verbs have."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from harness.cli import completion
from harness.system.errors import UsageError

EXIT_CODES = (
    "exit codes: 0 ok · 1 some trials failed · 2 bad usage or input · 3 regression · "
    "4 too little data to say\n"
    "a fault of Joulemark itself ends with 1 and asks for a report"
)


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is an error like any other: one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        """Raise what the words do wrong.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{message}; see `{self.prog} --help`")


class Verb(Parser):
    """One verb; the options that several verbs have are its methods."""

    def overrides(self) -> None:
        """Take Hydra overrides, and folders of groups."""
        words = self.add_argument(
            "overrides", nargs="*", metavar="OVERRIDE", help="Hydra overrides, see below"
        )
        words.completer = completion.overrides  # type: ignore[attr-defined]
        self.config_dir()

    def config_dir(self) -> None:
        """Take folders of groups."""
        self.add_argument(
            "--config-dir",
            action="append",
            default=[],
            metavar="DIR",
            help="a folder of your own groups; may be repeated",
        )

    def sweep(self, name: str = "sweep", **more: Any) -> None:
        """Take a sweep, completed from the results folder."""
        taken = self.add_argument(name, **({"metavar": "SWEEP"} | more))
        taken.completer = completion.sweeps  # type: ignore[attr-defined]

    def trusted(self) -> None:
        """Take who may sign."""
        self.add_argument(
            "--trusted",
            metavar="FILE",
            help="refuse what none of these signed: one line NAME ssh-ed25519 KEY each, as allowed_signers",
        )

    def results(self, option: str = "--results") -> None:
        """Take the results folder."""
        self.add_argument(
            option, default="results", metavar="DIR", help="the results folder (default: results)"
        )

    def pairs(self) -> None:
        """Take how long each process of a pair measures."""
        self.add_argument("--pair-seconds", type=float, metavar="S", help="measured time of each process")

    def delta(self) -> None:
        """Take the least difference that matters."""
        self.add_argument(
            "--delta", type=float, default=0.01, metavar="D", help="differences below it do not matter (0.01)"
        )

    def sides(self) -> None:
        """Take the environments or checkouts of two sides."""
        for side in ("base", "head"):
            self.add_argument(f"--{side}-python", metavar="PATH", help=f"the {side}'s Python interpreter")
            self.add_argument(
                f"--{side}-checkout",
                metavar="DIR|REVISION",
                help=f"sources that come first on the {side}'s import path: a folder, or a git revision",
            )


class Verbs:
    """The verbs of a parser: called, it adds one."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._all = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Verb)

    def __call__(self, name: str, summary: str, examples: str, *, json: bool = True) -> Verb:
        """Return a new verb with its help, `--debug`, and `--json` where it can print that."""
        verb: Verb = self._all.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"{examples}\n{EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if json:
            verb.add_argument("--json", action="store_true", help="print JSON instead of a table")
        return verb
