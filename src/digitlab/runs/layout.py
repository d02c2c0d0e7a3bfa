"""The files of a run's directory.

::

    runs/2026-11-22_codelab-cnn_s0/
      config.json         the settings, the network, the data and the command that repeats the run
      environment.json    versions, processor, threads, commit
      history.jsonl       one record a line, appended as it happens
      model.safetensors   the weights that the run is for
      state.safetensors   what resuming needs; gone when the run is complete
      evaluation.json     written by the evaluation, never by training
      timings.json        seconds that every stage took
      report.html         everything above, for people

Files are replaced as a whole or not at all; only the history grows.
"""

__all__ = ["CONFIG", "ENVIRONMENT", "EVALUATION", "FILES", "HISTORY", "MODEL", "REPORT", "STATE", "TIMINGS"]

CONFIG, ENVIRONMENT, HISTORY = "config.json", "environment.json", "history.jsonl"
MODEL, STATE = "model.safetensors", "state.safetensors"
EVALUATION, TIMINGS, REPORT = "evaluation.json", "timings.json", "report.html"

#: All of them.
FILES = (CONFIG, ENVIRONMENT, HISTORY, MODEL, STATE, EVALUATION, TIMINGS, REPORT)
