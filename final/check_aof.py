"""`python3 -m final.check_aof FILE`: check a log, and truncate an incomplete end. See `log/check.py`."""

import io
import sys

from .log.check import main
from .server_log import open_standard_files

if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    open_standard_files()
    sys.exit(main(sys.argv[1:]))
