"""`joulemark doctor --meter`: what would be taken of a log, before a trial takes it."""

from __future__ import annotations

import time

from harness.cli.commands.doctor import _meters


def test_it_says_column_unit_times_and_devices(tmp_path) -> None:
    """And of a log that is refused the reason."""
    log = tmp_path / "smi.csv"
    log.write_text(f"time, index, power.draw [W]\n{time.time()}, 0, 300.5 W\n{time.time()}, 1, 200.0 W\n")
    bare = tmp_path / "bare.csv"
    bare.write_text(f"{time.time()},300\n")
    good, bad = _meters([f"file:{log}", f"file:{bare}"])
    assert good.works
    assert "column power.draw [W] in W, times of time, the sum of 0, 1: 500.5 W now" in good.detail
    assert not bad.works
    assert "say their unit, file:PATH?unit=W" in bad.detail
