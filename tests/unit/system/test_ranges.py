"""Ranges of packages: what is too old is one line that says what to do."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from harness.system import ranges
from harness.system.ranges import all_too_old, least_versions, too_old


@pytest.fixture
def installed(monkeypatch):
    """Say what is asked for, and which versions are installed."""

    def install(asked, **versions):
        def version(name):
            if name not in versions:
                raise PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(ranges, "requires", lambda _name: asked)
        monkeypatch.setattr(ranges, "version", version)
        least_versions.cache_clear()

    yield install
    least_versions.cache_clear()


def test_an_older_package_is_one_line_with_its_remedy(installed):
    """The range, what is there, and the command."""
    installed(["typst>=0.13.7"], typst="0.13.3")
    assert too_old("typst") == ("typst >= 0.13.7 is needed, 0.13.3 is installed: pip install 'typst>=0.13.7'")


@pytest.mark.parametrize("version", ["0.13.7", "0.13.10", "0.14", "1.0rc1", "0.13.7+local"])
def test_what_lies_in_the_range_is_fine(installed, version):
    """Numbers are compared as numbers, and a local version is its release."""
    installed(["typst>=0.13.7"], typst=version)
    assert too_old("typst") is None


def test_extras_upper_bounds_and_what_is_absent(installed):
    """A requirement of an extra counts, in any order of its bounds; an absent package is not too old."""
    installed(
        ['transformers>=5.6; extra == "hf"', "hydra-core<1.4,>=1.3.8", "numpy", "torchao>=0.18"],
        transformers="5.5.4", numpy="1.0", **{"hydra-core": "1.3.2"},
    )  # fmt: skip
    found = all_too_old(["transformers", "hydra-core", "numpy", "torchao", "unknown"])
    assert [line.split()[0] for line in found] == ["transformers", "hydra-core"]


def test_5_6_is_5_6_0(installed):
    """Zeros at the end change nothing."""
    installed(["transformers>=5.6.0"], transformers="5.6")
    assert too_old("transformers") is None


def test_this_environment_lies_in_its_own_ranges():
    """The packages that the tests run with are those that were promised."""
    assert {"torch", "typst", "duckdb"} <= set(least_versions())
    assert all_too_old(least_versions()) == []
