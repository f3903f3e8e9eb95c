"""`joulemark recommend`: the best configuration under requirements, from records alone."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cli.output import print_blocks, print_json
from harness.cli.sweeps import current, read_sweeps, say_left_out
from harness.records import open_store
from harness.records.results import TrialResult
from harness.system.errors import UsageError

EXIT_OK, EXIT_NONE, EXIT_UNDECIDED = 0, 1, 4


def main(options: argparse.Namespace) -> int:
    """Print the answer; 1 when nothing keeps the limits, 4 when the records do not suffice to say it."""
    store = open_store(options.results)
    found, unread = read_sweeps(store, options.sweeps)
    results, left_out = current(found)
    say_left_out([*unread, *left_out])
    answer = answer_of(results, Path(options.requirements), options.price, day(options.as_of))
    if options.predict:
        from harness.advice.measured import of_work
        from harness.advice.predict import Predictor, described
        from harness.advice.requirements import load_requirements

        asked = of_work(results, load_requirements(Path(options.requirements)).work)
        answer["predicted"] = described(Predictor([r for r in results if r.replicas_ok]), asked)
    if options.json:
        print_json(answer)
    else:
        from harness.report.sections.answer import answer_blocks

        print_blocks(answer_blocks(answer))
    best = answer["best"]
    if best is None:
        return EXIT_NONE if answer["failing"] else EXIT_UNDECIDED
    return EXIT_UNDECIDED if best["probability"] is None else EXIT_OK


def answer_of(
    results: Sequence[TrialResult], requirements: Path, price: str | None, as_of: dt.date
) -> dict[str, Any]:
    """Return the answer to a requirements file, as plain data.

    Raises:
        ValueError: the file, the price file or the work it names cannot be used; one line.
    """
    from harness.advice.measured import candidates
    from harness.advice.plain import plain
    from harness.advice.recommend import recommend
    from harness.advice.requirements import load_requirements
    from harness.config.folder import config_folder
    from harness.cost import load_prices

    needs = load_requirements(requirements)
    name = price or price_beside(requirements, needs.price)
    prices = load_prices(name, config_folder() / "price") if name and name != "none" else None
    found, item = candidates(results, needs, prices, as_of=as_of)
    return plain(recommend(found, needs, item), found)


def price_beside(requirements: Path, price: str | None) -> str | None:
    """Return the price that requirements name; a file's path is from the file that names it."""
    named_file = price is not None and price.endswith((".yaml", ".yml"))
    return str(requirements.parent / str(price)) if named_file else price


def day(text: str | None) -> dt.date:
    """Return the day on which prices must not be stale: today unless given.

    Raises:
        ValueError: the text is no date.
    """
    if text is None:
        return dt.datetime.now(dt.UTC).date()
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--as-of {text}: a date like 2026-01-31 is needed") from error
