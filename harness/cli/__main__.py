"""`python -m harness.cli`: the command line of this checkout. `ab` and `bisect` start it in other versions."""

import sys

from harness.cli import main

sys.exit(main())
