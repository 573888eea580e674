"""What stands before stage 05: stage 04, which takes the options of a log and keeps none."""

import argparse
import runpy
import sys
from pathlib import Path

options = argparse.ArgumentParser()
for name in ("--dir", "--appendonly", "--appendfsync"):
    options.add_argument(name)
_, rest = options.parse_known_args()

folder = next((Path(__file__).parents[4] / "stages").glob("04-*"))
sys.path[0] = str(folder)
sys.argv = [str(folder / "server.py"), *rest]
runpy.run_path(sys.argv[0], run_name="__main__")
