"""``digitlab about``."""

from __future__ import annotations

from typing import Any

from digitlab.cli.output import print_json, stdout
from digitlab.cli.parameters import AsJson

_MNIST = {
    "title": "The MNIST database of handwritten digits",
    "authors": "Yann LeCun and Corinna Cortes",
    "licence": "CC BY-SA 3.0",
    "licence_url": "https://creativecommons.org/licenses/by-sa/3.0/",
    "source": "http://yann.lecun.com/exdb/mnist/",
    "changes": "recompressed with xz, bytes unchanged",
}


def about(*, as_json: AsJson = False) -> None:
    """Show versions, licences, the cache and this machine.

    Parameters
    ----------
    as_json
        Print one JSON object.
    """
    from rich.table import Table

    from digitlab import __version__
    from digitlab.data.cache import CACHE_VARIABLE, cache_folder
    from digitlab.engine.cpu.threads import available_threads
    from digitlab.training.keeping import environment

    cache = cache_folder()
    machine = environment(available_threads())
    document: dict[str, Any] = {
        "digitlab": __version__,
        "licence": "Apache-2.0",
        "data": _MNIST,
        "cache": None if cache is None else str(cache),
        "environment": machine,
    }
    if as_json:
        print_json(document)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("digitlab", f"{__version__}, handwritten digits from the first convolution to the report")
    table.add_row("Code", "Apache-2.0")
    table.add_row("Data", f"{_MNIST['title']}, by {_MNIST['authors']}")
    table.add_row("", f"{_MNIST['licence']}, {_MNIST['licence_url']}")
    table.add_row("", f"from {_MNIST['source']}; {_MNIST['changes']}")
    table.add_row("Cache", f"off ({CACHE_VARIABLE}, or no folder that can be used)" if cache is None else str(cache))
    table.add_row("Python", f"{machine['python']}, NumPy {machine['numpy']}, Numba {machine['numba']}")
    table.add_row("Machine", f"{machine['processor']}, {machine['threads']} threads, {machine['system']}")
    stdout().print(table)
