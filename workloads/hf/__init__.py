"""Models of the library transformers (extra `hf`), built from configurations in code; nothing is fetched."""
