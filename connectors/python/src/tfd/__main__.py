"""`python -m tfd`."""

import sys

from tfd.command import main

sys.exit(main())
