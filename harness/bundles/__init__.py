"""Sweeps carried between machines as one checked file."""
