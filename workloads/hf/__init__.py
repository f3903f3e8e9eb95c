"""Models of the library transformers (extra `hf`), built from configurations written here, fetching nothing."""
