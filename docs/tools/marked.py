"""Put generated text between the marks ``<!-- generated:NAME -->`` and ``<!-- /generated:NAME -->``."""

from __future__ import annotations

import re
from collections.abc import Mapping


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """Return a text with every marked block that is named replaced."""
    for name, block in blocks.items():
        begin, end = f"<!-- generated:{name} -->", f"<!-- /generated:{name} -->"
        pattern = re.compile(rf"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text = pattern.sub(lambda _, new=f"{begin}\n{block}\n{end}": new, text)
    return text
