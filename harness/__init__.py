"""How workloads are run and measured, and what is drawn from the records."""

__version__ = "0.1.0"
