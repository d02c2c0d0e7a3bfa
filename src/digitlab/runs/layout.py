"""The files of a run's directory.

::

    runs/2026-11-22_codelab-cnn_s0/
      config.json         the settings that it began with, the network, the data and the command for them
      environment.json    versions, processor, threads, commit
      history.jsonl       one record a line, and what was changed on the way, appended as it happens
      model.safetensors   the weights that the run is for
      state.safetensors   what resuming needs; gone when the run is complete
      start.safetensors   of a fine-tuned network: the weights that it began with, and the corrections
      evaluation.json     written by the evaluation, never by training
      timings.json        seconds that every stage took
      report.html         everything above, for people

Files are replaced as a whole or not at all; only the history grows.
"""

__all__ = ["CONFIG", "ENVIRONMENT", "EVALUATION", "FILES", "HISTORY", "MODEL", "REPORT", "START", "STATE", "TIMINGS"]

CONFIG, ENVIRONMENT, HISTORY = "config.json", "environment.json", "history.jsonl"
MODEL, STATE, START = "model.safetensors", "state.safetensors", "start.safetensors"
EVALUATION, TIMINGS, REPORT = "evaluation.json", "timings.json", "report.html"

#: All of them.
FILES = (CONFIG, ENVIRONMENT, HISTORY, MODEL, STATE, START, EVALUATION, TIMINGS, REPORT)
