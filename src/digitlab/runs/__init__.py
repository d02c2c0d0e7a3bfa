"""The run directory: where the stages of the work meet, as plain files."""

from digitlab.runs.directory import Run, RunInfo
from digitlab.runs.listing import find_run, list_runs

__all__ = ["Run", "RunInfo", "find_run", "list_runs"]
