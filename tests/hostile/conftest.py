"""The inputs are a program of their own, which the test starts and knows."""

from __future__ import annotations

import sys
from pathlib import Path

# pytest's importlib mode leaves the folder of a test off the path, so that a sibling would not be found.
sys.path.insert(0, str(Path(__file__).parent))
