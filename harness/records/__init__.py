"""Records: their schema, their store, the index derived from them, and the rules that judge them."""
