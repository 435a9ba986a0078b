"""`python -m holdfast`: the same as the `holdfast` command."""

import sys

from holdfast.faces.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
