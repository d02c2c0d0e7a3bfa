"""``digitlab compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from digitlab.cli.numbers import WholeNumber

__all__ = ["compare"]


def compare(
    a: str,
    b: str,
    /,
    *,
    images: WholeNumber | None = None,
    data: Path | None = None,
    out: Path = Path("runs"),
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> None:
    """Tell which of two runs reads better, and in what they were trained differently.

    Both answer the same test images. Whether the difference may be chance is told by McNemar's exact test on the images
    that they answer differently. An interrupted run is compared with the weights that were saved last.

    Parameters
    ----------
    a
        A run's name or folder, or "latest".
    b
        Another one.
    images
        Compare on so many test images instead of all; the codelab takes 500.
    data
        A folder with four IDX files, instead of the data that the first run was trained with.
    out
        The folder of runs.
    as_json
        Print the comparison as one JSON object: settings, histories, evaluations, and every image answered differently.
    """
    from digitlab.cli.tables import comparison_tables
    from digitlab.cli.terminal import print_json, stdout
    from digitlab.data.mnist import MnistData
    from digitlab.evaluation.comparison import compare as compared
    from digitlab.evaluation.comparison import unlike, verdict

    found = compared(a, b, None if data is None else MnistData.load(data), images, out=out)
    if as_json:
        print_json(found.to_dict())
        return
    console = stdout()
    for table in comparison_tables(found):
        console.print(table)
        console.print()
    for sentence in (verdict(found), unlike(found)):
        if sentence:
            console.print(sentence)
    for letter, run in (("A", found.a), ("B", found.b)):
        told = (*(() if run.is_complete else ("interrupted: these are the weights saved last",)), *run.on_the_way)
        if told:
            console.print(f"{letter}: {'; '.join(told)}.")
