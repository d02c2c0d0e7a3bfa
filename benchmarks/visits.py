"""Does the Studio's memory grow with its visitors? After 1,000 visits it may be 20 MB above that after 100.

    python benchmarks/visits.py [--visits 1000] [--out FILE]

Half of the visits are a browser's, as far as the server can tell: the page, its socket, the handshake, the first
messages, and gone, on one tab after the other. The others ask for the page and never come back. Before the memory is
looked at, the server has forgotten all of them. Writes ``benchmarks/results/visits.json``; ``studio.py`` tells it in
``docs/measurements/studio.md``.
"""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.request
from typing import Any

from websockets.sync.client import connect

from digitlab.studio.lesson import TABS
from measuring import RESULTS, describe_machine, made_by, parser_of, positive, write_json
from studio_process import StudioProcess

#: How much more memory the last visits may have left than the first.
ALLOWED_BYTES = 20_000_000

_FIRST = 100
_CLIENT = re.compile(r"""["']client_id["']?: ?["']([\w-]+)""")


def visit(address: str, tab: str, *, is_seen: bool) -> None:
    """Ask for the page, and show it for a moment if it is to be seen."""
    with urllib.request.urlopen(f"{address}?tab={tab}") as answer:
        found = _CLIENT.search(answer.read().decode())
    assert found is not None, "the page does not say who it is"
    if not is_seen:
        return
    document = {"client_id": found[1], "tab_id": found[1], "document_id": found[1], "next_message_id": 0}
    with connect(f"{address.replace('http', 'ws', 1)}_nicegui_ws/socket.io/?EIO=4&transport=websocket") as socket:
        socket.send("40")
        socket.send("42" + json.dumps(["handshake", document]))
        for _ in range(3):  # who it is, that it is let in, and something of the page
            socket.recv(timeout=60)


def measure(n_visits: int) -> dict[str, Any]:
    """Visit a Studio, and return its memory after the first and after all visits."""
    studio = StudioProcess()
    memory: dict[int, int] = {}
    try:
        began = time.monotonic()
        for number in range(1, n_visits + 1):
            visit(studio.address, list(TABS)[number // 2 % len(TABS)], is_seen=number % 2 == 0)
            if number in (_FIRST, n_visits):
                studio.tell("alone")
                studio.answer()
                memory[number] = studio.rss_bytes()
                print(f"after {number:,} visits: {memory[number] / 1e6:.1f} MB", file=sys.stderr)
        seconds = time.monotonic() - began
    finally:
        studio.close()
    growth = memory[n_visits] - memory[_FIRST]
    return {"rss_bytes": memory, "growth_bytes": growth, "allowed_bytes": ALLOWED_BYTES, "seconds": seconds}


def visits_told() -> list[str]:
    """Return the paragraphs on the last measurement; none where there was none."""
    path = RESULTS / "visits.json"
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    (first, before), (last, after) = ((int(n), n_bytes / 1e6) for n, n_bytes in found["rss_bytes"].items())
    return [
        f"## {last:,} visits",
        "Half of them a browser's, on one tab after the other, and half requests for the page and nothing more. "
        f"When the server has forgotten them all it takes {before:.0f} MB after {first:,}, and {after:.0f} MB after "
        f"{last:,}: {found['growth_bytes'] / 1e6:.1f} MB more, and {found['allowed_bytes'] / 1e6:.0f} MB are allowed. "
        f"Made by `{found['command']}`.",
    ]


def main(argv: list[str] | None = None) -> int:
    """Measure and write; return 0, or 1 where the memory grew too much."""
    argv = sys.argv[1:] if argv is None else argv
    parser = parser_of("visits", __doc__.split("\n")[0])
    parser.add_argument("--visits", type=positive, default=1_000, metavar="N")
    options = parser.parse_args(argv)
    machine = describe_machine()
    result = measure(max(options.visits, 2 * _FIRST))
    write_json(options.out, result | {"machine": machine, **made_by("visits", argv)})
    print(f"{result['growth_bytes'] / 1e6:.1f} MB more, {ALLOWED_BYTES / 1e6:.0f} MB allowed")
    return int(result["growth_bytes"] > ALLOWED_BYTES)


if __name__ == "__main__":
    sys.exit(main())
