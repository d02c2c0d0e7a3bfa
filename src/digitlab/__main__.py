"""``python -m digitlab`` is the command ``digitlab``."""

import sys

from digitlab.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
