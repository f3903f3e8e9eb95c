"""Calibration and self-test of the instrument on this machine: what `joulemark qualify` does."""
