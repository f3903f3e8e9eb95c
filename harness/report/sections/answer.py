"""The answer to a buyer's question, from plain data, for console and report alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from harness.records.metrics import METRICS
from harness.records.numbers import EN_DASH, quantity
from harness.report.document import Block, Cell, Column, Item, Items, Paragraph, Row, Table
from harness.report.text import line, listing, plural

Answer: TypeAlias = Mapping[str, Any]
"""What `harness.advice.plain.plain` returns."""
SURE = 0.95
MOST_NEEDS = 5
_FLEET = {
    "devices": ("the number of devices", "1"),
    "budget": ("the budget", ""),
    "power": ("the power", "W"),
    "rack_power": ("the power per rack", "W"),
    "racks": ("the number of racks", "1"),
    "carbon_per_year": ("the carbon per year", "kgCO2e"),
}


def answer_blocks(answer: Answer) -> tuple[Block, ...]:
    """Return the choice, how sure it is, what binds, what would overturn it, and what was left out."""
    blocks: list[Block] = [Paragraph(line(answer["question"], 400), "lead")] if answer["question"] else []
    blocks.append(Paragraph(_choice(answer), "lead"))
    if items := [*_reasons(answer), *_needs(answer)]:
        blocks.append(Items(tuple(items)))
    if answer["options"] or answer["failing"]:
        blocks.append(_table(answer))
    if (swings := _tornado(answer)) is not None:
        blocks.append(swings)
    return tuple(blocks)


def _choice(answer: Answer) -> str:
    best = answer["best"]
    if best is None:
        return _none(answer)
    objective = f"{_title(answer)} {_value(answer, best)}"
    many = _fleet_words(answer, best)
    text = f"{line(best['label'], 160)}{many}: {objective}."
    tied = [line(o["label"], 120) for o in answer["options"] if o["tied"]]
    if tied:
        level = listing([line(best["label"], 160), *tied])
        text = f"Tied, the replicas do not tell them apart: {level}. First stands {text}"
    if best["probability"] is None:
        return f"{text} With a single replica of some trial no probability can be stated."
    return f"{text} Probability that it is the best: {_percent(best['probability'])}."


def _none(answer: Answer) -> str:
    limits = listing([_limit(name, value) for name, value in answer["limits"].items()])
    near = answer["failing"][0] if answer["failing"] else None
    if near is None:
        return f"No configuration can be judged by {limits or _title(answer)}."
    text = f"No configuration satisfies {limits or 'the question'}"
    over = (
        f"{_limit_name(near['worst'])} is missed by {_percent(near['excess'] - 1)}" if near["worst"] else ""
    )
    return f"{text}; the nearest is {line(near['label'], 160)}{': ' + over if over else ''}."


def _fleet_words(answer: Answer, option: Mapping[str, Any]) -> str:
    if answer["load_per_s"] is None:
        return (
            f", {plural(option['units'], 'unit')} ({plural(option['devices'], 'device')})"
            if option["units"] > 1
            else ""
        )
    load = quantity(answer["load_per_s"], f"{answer['item']}/s").text
    reach = quantity(option["throughput_of_all"], f"{answer['item']}/s").text
    return (
        f", {plural(option['devices'], 'device')} for {load} with {_percent(answer['head_room'])} of "
        f"head-room (they reach {reach})"
    )


def _reasons(answer: Answer) -> list[Item]:
    items = []
    if answer["best"] is not None:
        bound = [
            f"{_limit_name(b['limit'])} (without it {quantity(b['gain'], '1').text}\u00d7 better)"
            for b in answer["binding"]
        ]
        items.append(
            Item("binding", listing(bound) if bound else "no limit binds: it is the best without them too")
        )
        unsure = {n: p for n, p in answer["best"]["keeps"].items() if p < SURE}
        for name, p in unsure.items():
            items.append(Item("not sure", f"{_limit_name(name)} is kept with a probability of {_percent(p)}"))
    for b in answer["between"]:
        rate = quantity(b["throughput"], f"{answer['item']}/s").text
        items.append(
            Item(
                "interpolated",
                f"{line(b['label'], 120)}: between the measured batches {b['measured'][0]} and "
                f"{b['measured'][1]}, a batch of {b['batch']} would just keep {_limit_name(b['limit'])} "
                f"at about {rate}; it was not measured and is not ranked",
            )
        )
    items += [
        Item("left out", f"{line(u['label'], 120)}: {line(u['reason'], 300)}") for u in answer["unknown"]
    ]
    items += _predicted(answer)
    for key, term in (("stale", "stale price"), ("notes", "cost"), ("flags", "flagged")):
        items += [Item(term, line(text, 300)) for text in answer[key]]
    return items


def _predicted(answer: Answer) -> list[Item]:
    """What the model says of configurations that were not run, and how far it can be trusted."""
    found = answer.get("predicted")
    if not found:
        return []
    items = [
        Item(
            "predicted",
            f"{line(c['label'], 120)}, not measured: "
            f"{quantity(*(c[k] for k in ('value', 'unit', 'low', 'high'))).whole}",
        )
        for c in found["cells"][:MOST_NEEDS]
    ]
    trust = (
        f"each of {found['trials']} measured trials predicted from the others: median error "
        f"{_percent(found['median_error'])}, {_percent(found['coverage'])} inside their "
        f"{_percent(found['level'])} intervals"
    )
    return [*items, Item("of the prediction", trust)]


def _needs(answer: Answer) -> list[Item]:
    """What each runner-up would have to cost or reach to win."""
    items = []
    for o in [o for o in answer["options"] if o is not answer["best"]][1 : 1 + MOST_NEEDS]:
        said = []
        if (won := o["price_to_win"]) is not None:
            now, at = (quantity(won[k], answer["objective_unit"]).text for k in ("now", "at"))
            said.append(f"a price of {at} instead of {now}")
        if o["needed"] is not None and o["needed"] > 0:
            factor = o["needed"] if o["needed"] > 1 else 1 / o["needed"]
            what = (
                "throughput"
                if answer["objective"] in {"cost", "carbon"}
                else METRICS[answer["objective"]].title.lower()
            )
            said.append(
                f"{quantity(factor, '1').text}\u00d7 {'better ' if what != 'throughput' else 'the '}{what}"
            )
        if said:
            items.append(Item("to win", f"{line(o['label'], 120)} would need {' or '.join(said)}"))
    for o in answer["failing"][:MOST_NEEDS]:
        missed = ", ".join(_limit_name(name) for name in o["broken"])
        items.append(
            Item("breaks", f"{line(o['label'], 120)}: {missed}, by {_percent(o['excess'] - 1)} at most")
        )
    return items


def _table(answer: Answer) -> Table:
    rows_of = [*answer["options"], *answer["failing"]]
    metrics = dict.fromkeys(m for o in rows_of for m in o["measured"])
    priced = any(o["cost"] for o in rows_of)
    machines = any(o["machine"] for o in rows_of)
    of_load = priced and answer["objective"] == "cost" and answer["load_per_s"] is not None
    columns = [
        Column("Configuration"),
        *([Column("Machine")] if machines else []),
        Column("Devices", numeric=True),
        *(Column(METRICS[m].title if m in METRICS else m, numeric=True) for m in metrics),
        *([Column("Cost of the load", numeric=True)] if of_load else []),
        *([Column("Cost when used alone" if of_load else "Cost", numeric=True)] if priced else []),
        Column("Limits"),
        Column("Best with", numeric=True),
    ]
    rows = []
    for o in rows_of:
        cells = [Cell(line(o["configuration"], 120))]
        if machines:
            cells.append(Cell(line(o["machine"] or EN_DASH, 60)))
        cells.append(Cell(str(o["devices"]) if o["units"] else EN_DASH, order=float(o["devices"])))
        cells += [_measured(o["measured"].get(m)) for m in metrics]
        if of_load:
            cells.append(
                Cell(_value(answer, o), order=float(o["objective"])) if o["units"] else Cell(EN_DASH)
            )
        if priced:
            cells.append(_cost_cell(o["cost"]))
        state = (
            f"breaks {', '.join(_limit_name(n) for n in o['broken'])}" if o["broken"] else _kept(answer, o)
        )
        cells.append(Cell(state, order=state))
        p = o["probability"]
        cells.append(Cell(EN_DASH if p is None or o["broken"] else _percent(p), order=p))
        rows.append(Row(tuple(cells)))
    note = (
        "What keeps the limits stands first, the best of it at the top. The probability is that of being the "
        "best, by draws over the replicas of all."
    )
    if priced:
        items = next(o["cost"] for o in rows_of if o["cost"])
        note += f" Cost is of {items['items']:,.0f} {items['item']}s, its range over all prices."
        if of_load:
            note += (
                " That of the load pays for whole units and their idle time; alone, for one at the rate that "
                "was measured and the utilisation of the price file."
            )
    return Table("answer-table", "Candidates", tuple(columns), tuple(rows), note)


def _kept(answer: Answer, option: Mapping[str, Any]) -> str:
    """Say that limits are kept; a measured value without an interval makes it likely, no more."""
    bare = [
        m
        for m in answer["limits"]
        if m in METRICS
        and METRICS[m].provenance != "counted"
        and (found := option["measured"].get(m)) is not None
        and (found["low"], found["high"]) == (None, None)
    ]
    return "likely kept" if bare else "kept"


def _tornado(answer: Answer) -> Table | None:
    over = answer["overturn"]
    if not over:
        return None
    unit = over["unit"]
    rows = []
    for s in over["tornado"]:
        ends = (quantity(s[k], s["unit"] or "1").text for k in ("input_low", "input_high"))
        moved = " to ".join(ends) + (" (\u00b110\u00a0%, no range given)" if s["assumed"] else "")
        low, high = (quantity(s[k], unit).text for k in ("at_low", "at_high"))
        rows.append(
            Row((Cell(line(s["name"], 40)), Cell(line(s["key"], 60)), Cell(moved), Cell(low), Cell(high)))
        )
    r = over["ratio"]
    shown = quantity(r["mid"], "1", r["low"], r["high"])
    turns = [f"{name} of {quantity(value, '1').text}" for name, value in over["turning"].items()]
    note = (
        f"{line(over['against'], 120)} costs {shown.text}\u00d7 as much"
        f"{f' ({shown.interval})' if shown.interval else ''}, shared prices moving both sides together. "
        f"The order turns at {listing(turns) if turns else 'no tariff or utilisation'}."
    )
    columns = (
        Column("Input"),
        Column("Of"),
        Column("From, to"),
        Column("Lead at its low", numeric=True),
        Column("Lead at its high", numeric=True),
    )
    return Table("overturn", "What moves the answer most", columns, tuple(rows), note, sortable=False)


def _measured(found: Mapping[str, Any] | None) -> Cell:
    if found is None or found["value"] is None:
        return Cell(EN_DASH, mark="unavailable")
    q = quantity(found["value"], found["unit"], found["low"], found["high"])
    return Cell(q.text, q.interval, order=float(found["value"]))


def _cost_cell(cost: Mapping[str, Any] | None) -> Cell:
    if cost is None:
        return Cell(EN_DASH, mark="unavailable")
    q = quantity(cost["mid"], cost["unit"], cost["low"], cost["high"])
    return Cell(q.text, q.interval, order=float(cost["mid"]))


def _value(answer: Answer, option: Mapping[str, Any]) -> str:
    return quantity(option["objective"], answer["objective_unit"]).text


def _title(answer: Answer) -> str:
    objective = answer["objective"]
    if objective in {"cost", "carbon"}:
        priced = next((o["cost"] for o in [*answer["options"], *answer["failing"]] if o["cost"]), None)
        of = f" of {priced['items']:,.0f} {priced['item']}s" if priced else ""
        return f"{'cost' if objective == 'cost' else 'emissions'}{of}"
    return METRICS[objective].title.lower()


def _limit(name: str, value: float) -> str:
    title, unit = _limit_name(name), METRICS[name].unit if name in METRICS else _FLEET[name][1]
    most = "at least" if name in METRICS and METRICS[name].direction == "higher" else "at most"
    return f"{title} {most} {quantity(value, unit or '1').text}"


def _limit_name(name: str) -> str:
    return METRICS[name].title if name in METRICS else _FLEET[name][0] if name in _FLEET else line(name, 60)


def _percent(share: float) -> str:
    if 0.995 < share < 1:
        return ">\u00a099\u00a0%"
    return f"{100 * share:.0f}\u00a0%" if abs(share) < 10 else f"{share:.0f}\u00d7"
