"""From measurements to a decision: recommend, predict, tune, accept."""
