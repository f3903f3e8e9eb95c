"""A statistical test bench: simulated machines whose truth is known, and the rules that must find it."""
