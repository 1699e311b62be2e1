"""`python -m samdesk`. Must not do anything else."""

import sys

from samdesk.cli import main

if __name__ == "__main__":
    sys.exit(main())
