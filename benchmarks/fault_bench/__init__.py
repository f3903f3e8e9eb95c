"""Injected faults, `make bench-faults`: the right record or the right line, and nothing lost."""
