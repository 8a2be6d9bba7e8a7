"""`python -m farshore.device DIR`."""

import sys

from farshore.device.process import main

sys.exit(main(sys.argv[1:]))
