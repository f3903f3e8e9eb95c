"""Overrides to trials: the plan, its refusals, labels, the compatibility matrix, advice on replication."""
