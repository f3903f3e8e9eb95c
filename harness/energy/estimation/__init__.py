"""From a trace to joules: estimators, their uncertainty, and what they must not be used for."""
