from __future__ import annotations

from digitlab.evaluation.svg import Bar
from digitlab.studio.widgets.tables import bar_table


def test_names_are_escaped_and_bars_end_where_the_longest_does() -> None:
    hostile = "<script>x</script>"
    table = bar_table(hostile, (hostile, "n"), [(hostile, (Bar("1", 2.0), hostile))])
    assert "<script>" not in table
    assert "width:100.00%" in table
