"""Money and carbon of a result: prices with source and date, equations of docs/method.md, section 4."""

from harness.config.prices import Figure, Prices, UnknownPrice, load_prices
from harness.cost.derive import CostFigure, costs

__all__ = ["CostFigure", "Figure", "Prices", "UnknownPrice", "costs", "load_prices"]
