"""The verbs of the command line, one file each with `main(options) -> exit code`."""
