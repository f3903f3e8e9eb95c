"""The loop beside a record comes back as it was written, to the last bit; what is no loop is None."""

from pathlib import Path

import numpy as np
import pytest

from harness.records.loop import LOOP, keep_raw, pack, read_loops, write_loop

SERIES = {
    "durations_ns": np.array([2**62, 1, -5, 0, 3], np.int64),
    "losses": np.array([0.1, np.nan, 1e-308, -0.0], float),
    "it's odd": np.arange(3, dtype=np.int64),
}


def read_one(data):
    """Return the series of one file."""
    ((name, found),) = read_loops([("a", data)])
    assert name == "a"
    return found


def test_every_number_comes_back_in_its_order(tmp_path):
    """Whole numbers beyond a float's 53 bits, NaN, the smallest floats, a quote in a name."""
    found = read_one(write_loop(SERIES, tmp_path).read_bytes())
    assert list(found) == list(SERIES)
    for name, values in SERIES.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    assert [path.name for path in tmp_path.iterdir()] == [LOOP]


def test_an_empty_series_is_left_out(tmp_path):
    """A row is a number, so that no number leaves no row."""
    assert read_one(
        write_loop({"none": np.array([], float), "one": np.array([7])}, tmp_path).read_bytes()
    ) == {"one": np.array([7])}


def test_one_bad_file_hides_no_other(tmp_path):
    """Bytes that are no Parquet, and a file cut short, between two good ones."""
    good = write_loop(SERIES, tmp_path).read_bytes()
    found = dict(read_loops([("a", good), ("b", b"no parquet"), ("c", good[:-20]), ("d", good)]))
    assert found["b"] is None
    assert found["c"] is None
    for name in ("a", "d"):
        np.testing.assert_array_equal(found[name]["durations_ns"], SERIES["durations_ns"])


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(tmp_path):
    """Nothing is left behind."""
    with pytest.raises(OSError, match=LOOP):
        write_loop(SERIES, tmp_path / "absent")


def test_what_a_worker_leaves_is_packed_into_the_same_file(tmp_path: Path) -> None:
    """The numbers that a worker left become the loop; a half-written file of them and none become nothing."""
    (tmp_path / "other").mkdir()
    expected = write_loop(SERIES, tmp_path / "other").read_bytes()
    pack(tmp_path, whole=False)
    keep_raw(SERIES, tmp_path)
    (raw,) = tmp_path.glob(".loop*")
    whole = raw.read_bytes()
    for torn in (whole[:100], b""):
        raw.write_bytes(torn)
        pack(tmp_path, whole=False)
        assert not (tmp_path / LOOP).exists()
        assert not raw.exists()
        raw.write_bytes(torn)
        with pytest.raises(OSError, match="cannot be read back"):
            pack(tmp_path, whole=True)
    raw.write_bytes(whole)
    pack(tmp_path, whole=False)
    assert (tmp_path / LOOP).read_bytes() == expected
    assert not raw.exists()
