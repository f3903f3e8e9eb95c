"""The compatibility matrix as a page: `python -m harness.matrix_page > docs/compatibility.md`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.matrix import Matrix

_HEAD = """\
# What works with what

Generated from what workloads, strategies and compressors say of themselves, by
`python -m harness.matrix_page > docs/compatibility.md`; a test keeps it true. `joulemark plan` refuses every
other cell with its reason, and `joulemark run` writes that reason into a record. Settings are at their
defaults and sizes are `tiny`; other settings can be refused too, e.g. ranks that do not divide the heads.

● works on the CPU and on CUDA · ○ on CUDA alone · an empty cell is refused
"""
_TITLES = {
    "precision": "Precision",
    "parallel": "Parallel strategies",
    "compress": "Compression",
    "optimize": "Optimisation",
}


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
    return "\n".join(parts)


def _table(matrices: Sequence[Matrix], down: str, rows: Sequence[str], across: str) -> str:
    columns = [value for value in matrices[0].values[across] if value not in {"none", "eager"}]
    lines = [[down, *columns], ["---"] + [":-:"] * len(columns)]
    lines += [[row, *(_mark(matrices, (down, row), (across, column)) for column in columns)] for row in rows]
    return "\n".join(_rows(lines)) + "\n"


def _rows(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    return (f"| {' | '.join(cells)} |" for cells in lines)


def _mark(matrices: Sequence[Matrix], row: tuple[str, str], column: tuple[str, str]) -> str:
    on_cpu, on_cuda = (matrix.possible(row, column) for matrix in matrices)
    return "●" if on_cpu else "○" if on_cuda else ""


if __name__ == "__main__":
    print(page(), end="")
