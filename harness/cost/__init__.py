"""Money and carbon of a result: prices with source and date, equations of docs/cost.md."""

from harness.config.price_files import load_prices
from harness.config.prices import Figure, Prices, UnknownPrice
from harness.cost.contrast import Range, Swing, break_even, contrast, cost, ratio, tornado, turning
from harness.cost.derive import CostFigure, costs, costs_or_reason, devices_of
from harness.cost.inputs import Basis, Input, basis_of
from harness.cost.ownership import buying_from

__all__ = [
    "Basis",
    "CostFigure",
    "Figure",
    "Input",
    "Prices",
    "Range",
    "Swing",
    "UnknownPrice",
    "basis_of",
    "break_even",
    "buying_from",
    "contrast",
    "cost",
    "costs",
    "costs_or_reason",
    "devices_of",
    "load_prices",
    "ratio",
    "tornado",
    "turning",
]
