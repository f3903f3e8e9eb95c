"""Devices: one file per kind, behind the interface in `base.py`; importing this package imports no torch."""
