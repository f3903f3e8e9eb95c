"""`python -m harness.cli`: this checkout's command line. `ab` and `bisect` start it in other versions."""

import sys

from harness.cli import main

sys.exit(main())
