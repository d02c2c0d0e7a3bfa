"""How good a model is: its evaluation, and the report page about a run."""

from digitlab.evaluation.evaluate import Predictor, evaluate
from digitlab.evaluation.report import ReportInput, render_report
from digitlab.evaluation.svg import Series, line_chart, reliability_chart

__all__ = [
    "Predictor",
    "ReportInput",
    "Series",
    "evaluate",
    "line_chart",
    "reliability_chart",
    "render_report",
]
