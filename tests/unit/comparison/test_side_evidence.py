"""What may explain a side's speed is read from records of anywhere: numbers or nothing."""

import math
from types import SimpleNamespace

import pytest

from harness.comparison.side_evidence import Side, clock_mhz, differences, missing, number, side_of, slowed
from harness.records.metrics import make


def record(replica=0, status="ok", values=None, code=None, **evidence):
    """Return what the functions read of a record."""
    found = {i: make(i, v) for i, v in (values or {}).items()}
    return SimpleNamespace(
        replica=replica, status=status, evidence=evidence, code=code or {}, metric=found.get
    )


PROFILE = {"busy_share": 0.9}
ROOF = {"flop_s": 1e12, "bandwidth_b_s": 1e11, "compute_share": 0.2, "memory_share": 0.7}


def test_a_side_is_its_good_replicas_with_the_first_evidence_that_is_whole():
    """Failures do not count, and a profile or a roofline without its numbers is passed over."""
    records = [
        record(0, status="crashed", profile=PROFILE),
        record(0, profile={"busy_share": "high"}, roofline={"flop_s": 1e12}),
        record(1, profile=PROFILE, roofline=ROOF),
    ]
    side = side_of(SimpleNamespace(records=records))
    assert [r.replica for r in side.records] == [0, 1]
    assert side.profile == PROFILE
    assert side.roofline == ROOF
    assert side.bound == "memory"


def test_without_a_roofline_the_bound_is_arithmetic():
    """It is what remains where nothing says memory."""
    assert Side((), None, None).bound == "compute"
    assert Side((), None, {"compute_share": 0.3, "memory_share": math.nan}).bound == "compute"


def test_the_devices_own_cycles_come_before_the_drivers_clock():
    """Hz become MHz; the driver's figure stands in where there are no stamps."""
    assert clock_mhz(record(sm_clock={"hz": 1.755e9}, clock_mhz=1980)) == pytest.approx(1755)
    assert clock_mhz(record(sm_clock={"reason": "no shim"}, clock_mhz=1980)) == 1980
    assert clock_mhz(record()) is None


def test_what_others_took_is_all_iterations_over_the_clean_ones():
    """Without a clean mean it is unknown, not 1."""
    assert slowed(record(values={"iteration.mean": 0.012, "iteration.mean.clean": 0.01})) == pytest.approx(
        1.2
    )
    assert slowed(record(values={"iteration.mean": 0.012})) is None


def test_a_mean_is_over_the_replicas_that_have_the_value():
    """One without it neither counts as 0 nor hides the others."""
    side = Side((record(clock_mhz=1000), record(), record(clock_mhz=1200)), None, None)
    assert side.mean(clock_mhz) == 1100
    assert Side((record(),), None, None).mean(clock_mhz) is None


def test_differing_software_and_clock_states_are_named():
    """What is the same on both sides is not."""
    a = Side((record(code={"torch": "2.12", "numpy": "2.0"}, clock_states=["power_cap"]),), None, None)
    b = Side((record(code={"torch": "2.13", "numpy": "2.0"}),), None, None)
    assert differences(a, b) == ("torch: 2.12 on A, 2.13 on B", "clock states: power_cap on A, none on B")
    assert differences(a, a) == ()


def test_evidence_that_one_side_lacks_is_missing():
    """It takes both sides to compare."""
    whole = Side((record(clock_mhz=1000),), PROFILE, ROOF)
    assert missing(whole, whole) == ()
    assert len(missing(whole, Side((record(),), None, None))) == 3


@pytest.mark.parametrize("value", [None, "1", True, math.nan, math.inf, [1], {}])
def test_what_is_no_finite_number_is_none(value):
    """Records are data from anywhere; True is no 1."""
    assert number(value) is None
