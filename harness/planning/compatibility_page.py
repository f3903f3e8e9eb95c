"""The compatibility matrix as a page.

`python -m harness.planning.compatibility_page > docs/compatibility.md` writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from harness.planning.compatibility import Matrix

_HEAD = """\
# What works with what

| sign | the combination works |
| :-: | --- |
| ● | on the CPU and on CUDA |
| ◐ | on the CPU alone |
| ○ | on CUDA alone |
| | nowhere: `joulemark plan` refuses it, and `joulemark run` writes the reason into a record |

Everything that a table does not name is plain: fp32, one rank, uncompressed, eager, the size `tiny` and the
default settings. Other sizes and settings can be refused too, e.g. ranks that do not divide the heads, or for
which there are not enough GPUs.

**What was run.** On the CPU, `make test-slow` runs cells of the whole matrix in which every two values that
work together meet at least once, and checks their results; `make test` runs the sixty that cover most. The
signs for CUDA follow from the same rules, and none stands for a run on a GPU: `make gpu-check` is what shows
on one.

The tables are generated from what workloads, strategies and compressors say of themselves, as the refusals of
`plan` are (`python -m harness.planning.compatibility_page > docs/compatibility.md`); a test keeps them
equal. What the columns mean is said under [optimisation](optimization.md), [compression](compression.md) and
[parallel strategies](parallel.md).
"""
_XLA = """\
## XLA (`device=xla`)

What was held against torch is said under [XLA and TPUs](xla.md). Compression, the other strategies and the
optimisations are torch's, and are refused there.
"""
_TITLES = {
    "precision": "Precision",
    "parallel": "Parallel strategies",
    "compress": "Compression",
    "optimize": "Optimisation",
}


@cache
def page() -> str:
    """Return the page as Markdown."""
    matrices = Matrix("cpu"), Matrix("cuda")
    works = matrices[0].values["work"]
    parts = [_HEAD]
    for name, title in _TITLES.items():
        parts.append(f"## {title}, by workload and mode\n\n{_table(matrices, 'work', works, name)}")
    parts.append(
        "## Compression with a parallel strategy\n\nWith at least one workload in one mode.\n\n"
        + _table(matrices, "compress", matrices[0].values["compress"][1:], "parallel")
    )
    parts.append(
        "## Compression with a precision\n\nWith at least one workload in one mode.\n\n"
        + _table(matrices, "compress", matrices[0].values["compress"][1:], "precision")
    )
    return "\n".join([*parts, _xla()])


def _xla() -> str:
    """Return what runs under XLA, and the reasons for what does not."""
    matrix = Matrix("xla")
    columns: dict[str, tuple[tuple[str, str], ...]] = {
        "fp32": (),
        "bf16": (("precision", "bf16"),),
        "mesh": (("parallel", "mesh"),),
    }
    rows, reasons = [], dict[str, list[str]]()
    for work in matrix.values["work"]:
        refused = matrix.refusal(("work", work))
        if refused is None:
            signs = (
                "●" if matrix.refusal(("work", work), *more) is None else "" for more in columns.values()
            )
            rows.append([work, *signs])
        else:
            reasons.setdefault(refused.partition(": ")[2] or refused, []).append(work)
    table = _rows([["work", *columns], ["---", *[":-:"] * len(columns)], *rows])
    why = [f"- {reason}: {', '.join(works)}" for reason, works in reasons.items()]
    return "\n".join([_XLA, *table, "", "It refuses, by reason:", "", *why, ""])


def _table(matrices: Sequence[Matrix], down: str, rows: Sequence[str], across: str) -> str:
    columns = [value for value in matrices[0].values[across] if value not in {"none", "eager"}]
    lines = [[down, *columns], ["---"] + [":-:"] * len(columns)]
    lines += [[row, *(_mark(matrices, (down, row), (across, column)) for column in columns)] for row in rows]
    return "\n".join(_rows(lines)) + "\n"


def _rows(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    return (f"| {' | '.join(cells)} |" for cells in lines)


def _mark(matrices: Sequence[Matrix], row: tuple[str, str], column: tuple[str, str]) -> str:
    on_cpu, on_cuda = (matrix.possible(row, column) for matrix in matrices)
    return {(True, True): "●", (True, False): "◐", (False, True): "○"}.get((on_cpu, on_cuda), "")


if __name__ == "__main__":
    print(page(), end="")
