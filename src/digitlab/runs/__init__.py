"""The run directory: where the stages of the work meet, as plain files."""

from digitlab.runs.listing import find_run, list_runs
from digitlab.runs.run import Run, RunInfo

__all__ = ["Run", "RunInfo", "find_run", "list_runs"]
