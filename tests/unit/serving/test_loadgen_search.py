"""The search for LoadGen's settings, against engines whose limits are known."""

import pytest

from harness.serving.loadgen import LoadGenRun, LoadGenSettings
from harness.serving.loadgen_log import Log
from harness.serving.loadgen_search import Capacity, first_settings, least_queries, settle

KNOWN = Capacity(alone_s=0.03, rate_per_s=100.0)


def ran(valid, **said):
    """A run of LoadGen with this verdict."""
    values = {"result_validity": "VALID" if valid else "INVALID"} | said
    return lambda settings: LoadGenRun(settings, (), 0, Log(values))


@pytest.mark.parametrize(("percentile", "queries"), [(0.9, 64), (0.99, 662), (0.5, 11)])
def test_the_fewest_queries_of_a_percentile(percentile, queries):
    """LoadGen's log names 64 and 662."""
    assert least_queries(percentile) == queries


@pytest.mark.parametrize("percentile", [0, 1, 1.5])
def test_no_percentile(percentile):
    """There is none."""
    with pytest.raises(ValueError, match="within 0 and 1"):
        least_queries(percentile)


def test_expectations_are_faster_than_the_engine():
    """LoadGen makes its queries of them beforehand."""
    offline = first_settings(LoadGenSettings("offline"), KNOWN)
    assert (offline.rate_per_s, offline.expected_s) == (150.0, 0.02)
    assert first_settings(LoadGenSettings("server", percentile=0.99), KNOWN).queries == 662


def test_a_first_run_that_is_valid_is_the_result():
    """Nothing is tried behind it."""
    settled = settle(ran(True), LoadGenSettings("single_stream"), KNOWN)
    assert [one.valid for one in settled.tried] == [True]
    assert settled.run.log.valid


@pytest.mark.parametrize("limit", [8.0, 41.0, 80.0])
def test_server_s_rate_is_the_highest_that_keeps_the_limits(limit):
    """Within a tenth of the planted one, and the full run comes last."""

    def run(settings):
        return ran(settings.rate_per_s <= limit)(settings)

    settled = settle(run, LoadGenSettings("server", seconds=30.0), KNOWN)
    assert settled.run.log.valid
    assert limit / 1.11 <= settled.run.settings.rate_per_s <= limit
    assert [one.settings.seconds for one in settled.tried][-2:] == [2.0, 30.0]
    assert max(one.settings.rate_per_s for one in settled.tried) < KNOWN.rate_per_s


def test_a_full_run_may_hold_less_than_short_ones():
    """The rate is lowered until one is valid."""

    def run(settings):
        return ran(settings.rate_per_s <= (80 if settings.seconds < 30 else 60))(settings)

    settled = settle(run, LoadGenSettings("server", seconds=30.0), KNOWN)
    assert settled.run.log.valid
    assert 60 / 1.11 <= settled.run.settings.rate_per_s <= 60


def test_a_server_that_keeps_no_limit_ends_invalid():
    """At a sixteenth of what it can do, and after a few full runs below."""
    settled = settle(ran(False), LoadGenSettings("server"), KNOWN)
    assert not settled.run.log.valid
    assert [one.settings.rate_per_s for one in settled.tried][:4] == [50.0, 25.0, 12.5, 6.25]
    assert len(settled.tried) == 4 + 5


@pytest.mark.parametrize(
    ("lacks", "change"),
    [("result_min_duration_met", "rate_per_s"), ("result_min_queries_met", "queries")],
)
def test_what_loadgen_lacks_is_mended(lacks, change):
    """Queries that ran out before the time, or too few of them."""
    first = first_settings(LoadGenSettings("offline"), KNOWN)

    def run(settings):
        enough = getattr(settings, change) > getattr(first, change)
        return ran(enough, **{lacks: enough})(settings)

    settled = settle(run, LoadGenSettings("offline"), KNOWN)
    assert settled.run.log.valid
    assert getattr(settled.run.settings, change) == 2 * getattr(first, change)
