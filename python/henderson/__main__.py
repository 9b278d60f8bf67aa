"""``python -m henderson``."""

import sys

from henderson.cli import main

if __name__ == "__main__":
    sys.exit(main())
