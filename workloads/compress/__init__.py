"""Compressors: one file each, found by name through `workloads.compress.registry`."""
