"""The kinds of fault, a file for each sort."""
