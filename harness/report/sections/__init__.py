"""The parts of a report, each from results to tables and words."""
