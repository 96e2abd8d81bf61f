"""`python -m eco.cli`: the command where no script is installed."""

import sys

from eco.cli import main

sys.exit(main())
