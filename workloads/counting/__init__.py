"""FLOPs, bytes and parameters of a model."""
