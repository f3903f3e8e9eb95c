"""The configuration: models, composition, validation, prices, placement of ranks."""
