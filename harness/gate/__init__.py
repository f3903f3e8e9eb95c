"""The gate: a nightly screen, paired confirmation the same night, and a bisect by the same pairs.

docs/method.md, section 3, gives the rules; `harness.stats` the statistics.
"""
