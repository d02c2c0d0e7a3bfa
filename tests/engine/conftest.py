"""The oracle and the networks that several of these tests share are modules of this folder."""

from __future__ import annotations

import sys
from pathlib import Path

# pytest's importlib mode leaves the folder of a test off the path, so that a sibling would not be found.
sys.path.insert(0, str(Path(__file__).parent))
