"""Write results in other tools' formats, and read other tools' results: one file per format.

Exporters read results alone, never a device: they import only `harness.records` and `harness.stats`.
"""
