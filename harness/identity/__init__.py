"""Who measured what: trial, machine and code identities, and the facts behind them."""
