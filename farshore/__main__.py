"""Lets `python -m farshore` do what the command `farshore` does."""

import sys

from farshore.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
