"""Power sources: one file each, found by name."""
