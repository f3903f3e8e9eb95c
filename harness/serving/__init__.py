"""Serving under load: who asks when and for how much, and what the requests saw of it."""
