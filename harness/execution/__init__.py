"""Run a plan: sweeps, attempts, sessions, the ledger, progress, live metrics. Imports no torch."""
