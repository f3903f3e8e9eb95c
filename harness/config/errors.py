"""What is wrong with a configuration."""

from __future__ import annotations

from harness.system.errors import InputError


class ConfigError(InputError):
    """A configuration that cannot be used. The message is one line: what, where, what to do."""
