"""Whether to buy or to rent what a trial ran on: the share of the hours from which buying costs less."""

from __future__ import annotations

import datetime as dt

from harness.config.prices import Prices, UnknownPrice
from harness.cost.contrast import break_even
from harness.cost.derive import CostFigure, devices_of
from harness.cost.inputs import basis_of
from harness.records.results import TrialResult


def buying_from(result: TrialResult, prices: Prices, *, as_of: dt.date | None = None) -> CostFigure | None:
    """Return the utilisation above which buying is cheaper than renting by the hour.

    None where there is no purchase price or no hourly one; its `mid` is None where renting is always cheaper.
    """
    devices = devices_of(result)
    try:
        buy, rent = (basis_of(result, prices, devices=devices, rent=r, as_of=as_of) for r in (False, True))
    except UnknownPrice:
        return None
    if buy is None or rent is None:
        return None
    found = break_even(buy, rent)
    reason = None if found is not None else "renting is cheaper at any utilisation"
    return CostFigure("break_even", "Buying is cheaper from", "1", mid=found, reason=reason)
