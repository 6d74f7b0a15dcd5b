"""``python -m adapterlab.cli``: the same as ``platform``."""

import sys

from adapterlab.cli.main import main

sys.exit(main())
