"""Parallel strategies: one file each, found by name through `workloads.parallel.registry`."""
