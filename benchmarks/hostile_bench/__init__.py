"""Hostile inputs, `make bench-hostile`: none runs code, leaves its folder, ends in a traceback or hangs."""
