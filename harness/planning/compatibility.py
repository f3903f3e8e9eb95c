"""What can be combined: every cell of the compatibility matrix, and sets of cells that cover all its pairs.

A cell is one choice in each of five dimensions: work (a workload in a mode, at its tiny size), precision,
compress, parallel and optimize. Imports no torch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heapify, heappop, heapreplace
from itertools import combinations

import yaml

from harness.config.folder import config_folder
from workloads import registry
from workloads.base import PRECISIONS, Size
from workloads.compatibility import refusal
from workloads.compress.registry import COMPRESSORS
from workloads.optimize import Optimize
from workloads.parallel.registry import STRATEGIES
from workloads.transform import NONE, Cell, resolve_settings

Choice = tuple[str, str]
"""A dimension and a value in it: `("work", "gpt train")`, `("compress", "prune")`."""
Cells = dict[str, str]
"""A cell as a value for each dimension."""
PLAIN = {"precision": "fp32", "compress": NONE, "parallel": NONE, "optimize": "eager"}
NEEDS_SOURCE = frozenset({"user", "endpoint"})
"""Workloads without a model of their own."""


@dataclass(frozen=True)
class Matrix:
    """All combinations on one kind of device."""

    device: str

    @cached_property
    def values(self) -> Mapping[str, tuple[str, ...]]:
        """The values of each dimension."""
        return {
            "work": tuple(
                f"{name} {mode}"
                for name in registry.names()
                if name not in NEEDS_SOURCE and registry.get(name).spec.family != "selftest"
                if self.device == "xla" or "jax" not in registry.get(name).spec.traits
                for mode in registry.get(name).spec.modes
            ),
            "precision": PRECISIONS,
            "compress": (NONE, *COMPRESSORS.names()),
            "parallel": (NONE, *STRATEGIES.names()),
            "optimize": tuple(self._optimizations),
        }

    @cached_property
    def _optimizations(self) -> Mapping[str, Optimize]:
        files = sorted((config_folder() / "optimize").glob("*.yaml"))
        named = {path.stem: yaml.safe_load(path.read_text()) for path in files}
        made = {
            name: Optimize(**{k: v for k, v in keys.items() if k != "name"}) for name, keys in named.items()
        }
        return {"eager": made.pop("eager"), **made}

    @cached_property
    def _settings(self) -> Mapping[Choice, Size]:
        """Every setting of each compressor and strategy, at its default."""
        found: dict[Choice, Size] = {("compress", NONE): {}, ("parallel", NONE): {}}
        for name in COMPRESSORS.names():
            found["compress", name] = resolve_settings(COMPRESSORS.get(name).spec, {})
        for name in STRATEGIES.names():
            found["parallel", name] = resolve_settings(STRATEGIES.get(name).spec, {})
        return found

    @cached_property
    def _ranks(self) -> Mapping[str, int]:
        return {
            name: int(yaml.safe_load((config_folder() / "parallel" / f"{name}.yaml").read_text())["ranks"])
            for name in self.values["parallel"]
        }

    def cell(self, chosen: Mapping[str, str]) -> Cell:
        """Return the cell of one value in each dimension, with every setting at its default."""
        name, _, mode = chosen["work"].partition(" ")
        spec = registry.get(name).spec
        compress, parallel = chosen["compress"], chosen["parallel"]
        return Cell(
            workload=spec,
            mode=mode,
            size=spec.sizes["tiny"],
            precision=chosen["precision"],
            optimize=self._optimizations[chosen["optimize"]],
            device=self.device,
            compress=compress,
            compress_settings=self._settings["compress", compress],
            parallel=parallel,
            parallel_settings=self._settings["parallel", parallel],
            ranks=self._ranks.get(parallel, 1),
        )

    def refusal(self, *choices: Choice) -> str | None:
        """Return why these choices cannot be combined, everything else being plain; None when they can."""
        return refusal(self.cell(_plain(dict(choices))))

    def pairs(self) -> Iterator[tuple[Choice, Choice]]:
        """Return every pair of values of two dimensions that can be combined with some work."""
        for first, second in combinations(self.values, 2):
            for a in self.values[first]:
                for b in self.values[second]:
                    if self.possible((first, a), (second, b)):
                        yield (first, a), (second, b)

    def possible(self, a: Choice, b: Choice) -> bool:
        """Return whether two choices can be combined, with some work where neither names it."""
        if a[0] == "work":
            return self.refusal(a, b) is None
        return any(self.refusal(("work", work), a, b) is None for work in self.values["work"])

    def covering(self, seed: int = 0) -> list[Cells]:
        """Return cells, none of them refused, that together hold every pair that is possible.

        Greedy: each cell begins with a pair that is not held yet, and takes in every further dimension the
        value that holds most new pairs. The cells come in the order of what they add to those before them.
        """
        shuffled = random.Random(seed)
        order = list(self.pairs())
        shuffled.shuffle(order)
        left = dict.fromkeys(frozenset(pair) for pair in order)
        cells = []
        while left:
            cells.append(self._grown(next(iter(left)), left))
            for pair in _pairs_of(cells[-1]):
                left.pop(pair, None)
        return _most_first(cells)

    def _grown(self, pair: frozenset[Choice], left: Mapping[frozenset[Choice], None]) -> Cells:
        chosen = _plain(dict(pair))
        if "work" not in chosen:
            chosen["work"] = next(
                work for work in self.values["work"] if refusal(self.cell(chosen | {"work": work})) is None
            )
        fixed = {name for name, _ in pair} | {"work"}
        for name, values in self.values.items():
            if name in fixed:
                continue
            tried = [chosen | {name: value} for value in values]
            able = [cell for cell in tried if refusal(self.cell(cell)) is None]
            chosen = max(able, key=lambda cell: sum(p in left for p in _pairs_of(cell)))
        return chosen


def _plain(choices: Mapping[str, str]) -> Cells:
    """Return a cell that is plain but for these choices; what is an exchange between ranks has ranks."""
    name = choices.get("work", "").partition(" ")[0]
    exchange = {"parallel": "group"} if name and "ranks" in registry.get(name).spec.traits else {}
    return PLAIN | exchange | dict(choices)


def _most_first(cells: Sequence[Cells]) -> list[Cells]:
    """Order cells by what each adds to those before it, the earlier one where two add the same.

    What a cell adds only falls as others come before it, so one that adds as much as it did is the best.
    """
    pairs = [_pairs_of(cell) for cell in cells]
    held, ordered = set[frozenset[Choice]](), list[Cells]()
    rest = [(-len(each), place) for place, each in enumerate(pairs)]
    heapify(rest)
    while rest:
        before, place = rest[0]
        adds = -sum(pair not in held for pair in pairs[place])
        if adds != before:
            heapreplace(rest, (adds, place))
            continue
        heappop(rest)
        held.update(pairs[place])
        ordered.append(cells[place])
    return ordered


def _pairs_of(cell: Mapping[str, str]) -> list[frozenset[Choice]]:
    return [frozenset(pair) for pair in combinations(cell.items(), 2)]
