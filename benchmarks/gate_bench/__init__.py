"""The gate on histories whose truth is known: simulated years, and a toy repository on this machine."""
