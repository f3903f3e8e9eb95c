"""Reference workloads: what is run. Nothing here knows a clock, a file of results or the command line."""
