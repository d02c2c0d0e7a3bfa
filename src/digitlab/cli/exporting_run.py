"""From the name of a run to a file for another program, and what came of it in sentences."""

from __future__ import annotations

from pathlib import Path

from digitlab.cli.terminal import print_json, say, stdout
from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.evaluation.of_run import own_folder
from digitlab.exporting.export import FORMATS, ExportReport, export
from digitlab.network.formats.files import is_model_file, load_model_file
from digitlab.runs.listing import find_run

__all__ = ["run_export"]


def run_export(
    name: str,
    format: str,
    out: Path | None,
    quantize: str | None,
    folder: Path | None,
    runs: Path,
    *,
    as_json: bool,
) -> None:
    """Export a run or a model file, and print what was written and who agrees.

    Parameters
    ----------
    name : str
        A run's name or directory, ``latest``, or a model file.
    format, quantize
        As for ``digitlab.export``.
    out : Path or None
        Where to write; None for the run's name in this folder.
    folder : Path or None
        Other data than the run's own.
    runs : Path
        The folder of runs.
    as_json : bool
        Print JSON.
    """
    run = None if is_model_file(name) else find_run(name, runs)
    checkpoint = load_model_file(name) if run is None else run.load_model()
    model = Sequential.from_checkpoint(checkpoint)
    data = MnistData.load(own_folder(run) if folder is None else folder)
    target = _default_target(name if run is None else run.name, format) if out is None else out
    report = export(model, target, format=format, quantize=quantize, data=data, metadata=checkpoint.metadata)
    if as_json:
        print_json(report.to_dict())
    else:
        _show(report)


def _default_target(name: str, format: str) -> Path:
    path = Path(name)
    # TensorFlow.js calls every model model.json: the folder says which one it is.
    stem = path.resolve().parent.name if path.name == "model.json" else path.stem if path.suffix else path.name
    stem = stem or "model"
    return Path(f"{stem}{FORMATS[format] or f'-{format}'}")


def _show(report: ExportReport) -> None:
    console = stdout()
    names = f" ({', '.join(report.files)})" if report.options.format == "tfjs" else ""
    console.print(f"{report.path}{names}, {report.n_bytes:,} bytes.")
    if report.options.format == "web":
        console.print(
            f"Open {Path(report.path) / 'index.html'} in a browser, and draw; it needs no server and no network."
        )
    for sentence in report.sentences():
        # What is missing is said beside the result, not as part of it.
        (say if sentence == report.not_verified else console.print)(sentence)
