"""What documents and `--help` show is what the command line understands."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from harness.cli import parser
from harness.planning.plan import make_plan
from harness.records.evidence import EVIDENCE
from harness.records.schema import Record

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("re*/README.md")]


def shown_in_documents():
    """Yield the commands of the documents' blocks."""
    for path in sorted(DOCUMENTS):
        for block in re.findall(r"```(?:console|sh)?\n(.*?)```", path.read_text(), re.DOTALL):
            lines = (line.removeprefix("$ ") for line in block.splitlines())
            yield from (line for line in lines if line.startswith("joulemark "))


def shown_in_help():
    """Yield the examples of every verb."""
    (choice,) = (a for a in parser.build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    for verb in choice.choices.values():
        examples = re.findall(r"^  (joulemark .*?)(?:    .*)?$", verb.epilog, re.MULTILINE)
        assert examples or verb.prog == "joulemark completion", verb.prog
        yield from examples


SHOWN = sorted({*shown_in_documents(), *shown_in_help()})


@pytest.mark.parametrize("command", SHOWN)
def test_a_command_that_is_shown_is_understood(command):
    """Verb and options exist; what would be measured is planned, and none of it is refused for its words."""
    options, rest = parser.build_parser().parse_known_args(shlex.split(command, comments=True)[1:])
    assert not [word for word in rest if word.startswith("-")]
    words = [*getattr(options, "overrides", []), *rest]
    if options.verb not in {"plan", "run", "ab"} or "workload=user" in words:
        return
    sides = [words]
    code = [f"{side}_{what}" for side in ("base", "head") for what in ("python", "checkout")]
    if options.verb == "ab" and not any(getattr(options, name) for name in code):
        base, head, *both = words
        sides = [[*shlex.split(side), *both] for side in (base, head)]
    for side in sides:
        planned = make_plan([word for word in side if word != "device=cuda"])
        if all("pip install" in (trial.refusal or "") for trial in planned.trials):
            pytest.skip(f"an extra is not installed: {planned.trials[0].refusal}")
        assert [trial for trial in planned.trials if trial.refusal is None]


def test_documents_and_help_show_commands():
    """There is something to try."""
    assert len(SHOWN) > 50


def test_the_record_is_told_whole():
    """Every field has a line in results/README.md, and every declared evidence its row, word for word."""
    text = (ROOT / "results/README.md").read_text()
    assert sorted({*Record.model_fields} - set(re.findall(r"`(\w+)`", text))) == []
    for row in EVIDENCE.values():
        producers = ", ".join(f"`{name.removeprefix('harness.')}`" for name in row.producers)
        assert f"| `{row.key}` | {row.kind_name} | {row.unit} | {producers} | {row.text} |" in text
    assert text.count("\n| `") == len(EVIDENCE) + text[: text.index("| Evidence |")].count("\n| `")
