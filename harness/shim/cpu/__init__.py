"""The CPU half of the shim: C routines for bandwidth and latency, and ceilings through torch."""
