"""`python -m harness.cli`: this checkout's command line.

Its name and `plan --json` are a contract between versions: `ab`, `gate` and `bisect` start it in other
checkouts.
"""

import sys

from harness.cli import main

sys.exit(main())
