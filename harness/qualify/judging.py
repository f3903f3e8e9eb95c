"""From what a check measured to its verdict: pure functions with known answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median, stdev

from harness.records.certificates import HOST_QUIET
from harness.records.schema import Check
from harness.system.contention import BUSY_SHARE, Contention

_QUIET = "CPUs that other processes used meanwhile."
APART = 0.2
"""Two halves of one kind of worker that differ by more are disturbed, however few they are."""
SAME = 0.01
"""Two kinds of worker that differ by less are the same for every purpose (docs/method.md, section 3)."""


def at_most(check_id: str, what: str, measured: float | None, limit: float, unit: str) -> Check:
    """Pass a measured value that is no larger than the limit; without a value the check fails."""
    good = measured is not None and measured <= limit
    return _judged(check_id, what, measured, unit, f"at most {limit:g} {unit}", good=good)


def at_least(check_id: str, what: str, measured: float | None, limit: float, unit: str) -> Check:
    """Pass a measured value that is no smaller than the limit; without a value the check fails."""
    good = measured is not None and measured >= limit
    return _judged(check_id, what, measured, unit, f"at least {limit:g} {unit}", good=good)


def holds(check_id: str, what: str, *, good: bool, reason: str) -> Check:
    """Pass what either holds or does not; the reason is kept when it does not."""
    return Check(id=check_id, what=what, status="pass" if good else "fail", reason=None if good else reason)


def not_available(check_id: str, what: str, reason: str) -> Check:
    """Return a check that could not be made here, with the reason."""
    return Check(id=check_id, what=what, status="not available", reason=reason)


def quiet(seen: Contention) -> Check:
    """Pass a host whose CPUs nobody else used meanwhile; a certificate made beside others' work is void."""
    others = seen.others_cpus
    if others is None:
        reason = seen.unknown.get("others_cpus", "the kernel reports nothing of it")
        return not_available(HOST_QUIET, _QUIET, reason)
    return at_most(HOST_QUIET, _QUIET, others, BUSY_SHARE * seen.cpus, "CPUs")


def spin_error_ns(measured_ns: Sequence[float], true_ns: Sequence[float], empty_ns: float) -> float:
    """Return how far the instrument is off on known spins: the median difference, less its own cost.

    Args:
        measured_ns: as the instrument timed each spin.
        true_ns: as each spin timed itself.
        empty_ns: what the instrument measures around nothing.
    """
    return median(m - t for m, t in zip(measured_ns, true_ns, strict=True)) - empty_ns


def spins(check_id: str, what: str, errors: dict[int, float], *, floor_ns: float, share: float) -> Check:
    """Pass spins whose errors stay within `floor_ns` plus a share of their length.

    Args:
        check_id: its id.
        what: in words.
        errors: by length in ns, the error in ns.
        floor_ns: allowed at any length.
        share: of the length, allowed beside it.
    """
    worst = max(errors, key=lambda length: abs(errors[length]) / (floor_ns + share * length))
    good = abs(errors[worst]) <= floor_ns + share * worst
    expected = f"within {floor_ns:g} ns + {share:.1%} at {', '.join(f'{n / 1000:g}' for n in errors)} us"
    check = _judged(check_id, what, abs(errors[worst]), "ns", expected, good=good)
    return check if good else check.model_copy(update={"reason": f"at {worst / 1000:g} us"})


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation of the logs: the relative spread between processes."""
    return stdev(math.log(v) for v in values)


def same_mean(check_id: str, what: str, a: Sequence[float], b: Sequence[float]) -> Check:
    """Pass two samples of the same work whose means do not differ: Welch's interval of the ratio holds 1.

    A difference below `SAME` passes even when it is certain; one above `APART` fails even when it is not.
    """
    from scipy import stats

    x, y = [math.log(v) for v in a], [math.log(v) for v in b]
    ratio = math.exp(fmean(y) - fmean(x))
    p = float(stats.ttest_ind(x, y, equal_var=False).pvalue)
    good = abs(ratio - 1) < SAME or (abs(math.log(ratio)) < APART and not p < 0.05)
    expected = (
        f"1: apart by less than {SAME:.0%}, or by less than {APART:.0%} and not certainly "
        f"(p = {p:.2g}, at least 0.05)"
    )
    return _judged(check_id, what, ratio, "1", expected, good=good)


def no_wider(check_id: str, what: str, a: Sequence[float], b: Sequence[float]) -> Check:
    """Pass when `a` spreads no more than `b`, by the F test of their variances at 5 %."""
    from scipy import stats

    other = spread(b)
    ratio = spread(a) / other if other > 0 else math.inf
    limit = math.sqrt(float(stats.f.ppf(0.95, len(a) - 1, len(b) - 1)))
    measured = ratio if math.isfinite(ratio) else None
    expected = f"at most {limit:.2f}: {len(a)} against {len(b)} processes, F test at 5 %"
    return _judged(check_id, what, measured, "1", expected, good=ratio <= limit)


def _judged(
    check_id: str, what: str, measured: float | None, unit: str, expected: str, *, good: bool
) -> Check:
    if measured is None:
        return Check(id=check_id, what=what, status="fail", unit=unit, expected=expected, reason="no value")
    status = "pass" if good else "fail"
    return Check(id=check_id, what=what, status=status, measured=measured, unit=unit, expected=expected)  # type: ignore[arg-type]
