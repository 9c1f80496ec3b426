"""Lets these tests import the demo's modules, which live in a folder that is no package, as its programs do."""

import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "sample-configs" / "demo"

sys.path.append(str(DEMO))
