"""Money and carbon of a result: prices with source and date, equations of docs/method.md, section 4."""

from harness.cost.derive import CostFigure, costs
from harness.cost.prices import Figure, Prices, UnknownPrice, load_prices

__all__ = ["CostFigure", "Figure", "Prices", "UnknownPrice", "costs", "load_prices"]
