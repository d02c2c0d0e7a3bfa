"""The codelab's table *Layer Name | Output Shape | # Of Params | Trainable*, of a network that may be half typed."""

from __future__ import annotations

from html import escape

from digitlab.explanation.facts import times
from digitlab.studio.layer_editor import CheckedNetwork

__all__ = ["architecture_table"]


def architecture_table(checked: CheckedNetwork) -> str:
    """Return the table as HTML, with a dash for what a wrong layer leaves open; everything in it is escaped."""
    rows = []
    for layer in checked.layers:
        shape = "–" if layer.output_shape is None else times(layer.output_shape)
        n = "–" if layer.cost is None else f"{layer.cost.n_parameters:,}"
        wrong = ' class="is-wrong"' if layer.error else ""
        rows.append(
            f'<tr{wrong}><th scope="row">{escape(layer.name)}</th><td>{shape}</td><td class="num">{n}</td>'
            "<td>yes</td></tr>"
        )
    total = "–" if checked.architecture is None else f"{checked.architecture.n_parameters:,}"
    return (
        '<table class="table summary-table"><caption class="sr-only">Model Architecture</caption><thead><tr>'
        '<th scope="col">Layer Name</th><th scope="col">Output Shape</th><th scope="col" class="num"># Of Params</th>'
        f'<th scope="col">Trainable</th></tr></thead><tbody>{"".join(rows)}</tbody>'
        f'<tfoot><tr><th scope="row">Total</th><td></td><td class="num">{total}</td><td></td></tr></tfoot></table>'
    )
