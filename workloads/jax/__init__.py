"""Workloads on JAX and XLA: torch models through torchax, and models written in JAX."""
