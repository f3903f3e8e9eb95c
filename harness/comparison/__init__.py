"""A against B: sides, interleaved pairs, verdicts, and two sweeps from their records."""
