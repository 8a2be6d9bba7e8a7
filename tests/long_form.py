"""Whether tests run in their long form: more rounds, seeds and kinds, for hours (`make soak`).

`make soak` finds the tests that have one by their import of this module.
"""

import os
from typing import Final

LONG: Final = bool(os.environ.get("FARSHORE_SOAK"))
