"""The user's own model: by a function, a saved program, or a folder of weights (docs/own-model.md)."""
