"""The sampler beside the work, and the trace it leaves."""
