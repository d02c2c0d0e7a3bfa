"""Measure the codelab's job on digitlab, PyTorch, TensorFlow and JAX, in turn on the same cores.

``python benchmarks/codelab.py [--rounds 5] [--out benchmarks/results/codelab.json]
[--peers digitlab,torch,tensorflow,keras-jax] [--envs .venvs]``

The job: the codelab's network of 5,994 parameters, 5,500 images, 10 epochs of shuffled batches of 512, validation on
1,000 images at each epoch's end, all cores. Rules, the same for every contestant:

- timed within the process: training with validation, and nothing else; the data lies in memory as float32;
- one epoch as a warm-up before it, in the same process, then fresh weights: compilation is not in the time;
- the warm-up's time is reported as the cold first epoch, and the parent's clock as the whole process
  (imports, reading the arrays, 1 + 10 epochs).
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from contest import Contest, Entry, Quantity, describe_machine, hold, write_json
from peers.peer import ROOT, Peer, PeerError, prepare, run_once

SCRIPTS = Path(__file__).resolve().parent / "peers"

NUMPY = "numpy==2.4.6"
KERAS = (NUMPY, "keras==3.15.1")

#: The contestants, and the one place where versions are pinned. The first is the baseline. These are the newest that
#: install on Python 3.11. Some registries serve a torch with CUDA under the same version; it computes on the CPU here.
PEERS = {
    peer.name: peer
    for peer in (
        Peer("digitlab", "digitlab", SCRIPTS / "digitlab_codelab.py", ("-e", "."), module="digitlab"),
        Peer("torch", "PyTorch", SCRIPTS / "torch_codelab.py", (NUMPY, "torch==2.13.0")),
        Peer("tensorflow", "TensorFlow", SCRIPTS / "tensorflow_codelab.py", (*KERAS, "tensorflow==2.21.0")),
        Peer("keras-jax", "Keras on JAX", SCRIPTS / "keras_jax_codelab.py", (*KERAS, "jax==0.10.2")),
    )
}

QUANTITIES = (
    Quantity("training_s", "10 epochs, s", ratio=True),
    Quantity("first_epoch_s", "first epoch, cold, s"),
    Quantity("process_s", "whole process, s", ratio=True),
    Quantity("peak_rss_bytes", "peak memory, MiB", digits=0, scale=2**-20),
    Quantity("val_accuracy", "val. accuracy, %", digits=1, scale=100),
    Quantity("val_loss", "val. loss", digits=3),
    Quantity("threads", "threads", digits=0),
)


def main(argv: list[str] | None = None) -> int:
    """Hold the contest; return 0, 1 without a time of the baseline, 130 after Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    options = _parse(argv)
    contest = Contest(
        title="The codelab's job: 5,500 images, 10 epochs, batches of 512",
        command=f"python benchmarks/codelab.py {shlex.join(argv)}".strip(),
        rounds=options.rounds,
        quantities=QUANTITIES,
        entries=[Entry(PEERS[name]) for name in options.peers],
        machine=describe_machine(),
    )
    with tempfile.TemporaryDirectory(prefix="codelab-") as folder:
        try:
            _write_arrays(folder, options.envs)
        except PeerError as error:
            print(f"The images could not be written with digitlab: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        hold(contest, options.envs, [folder], say=lambda text: print(text, file=sys.stderr, flush=True))
    write_json(contest, options.out)
    print(contest.table())
    if contest.interrupted:
        return 130
    return 0 if contest.entries[0].runs else 1


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python benchmarks/codelab.py", description="Measure the codelab's job.")
    add = parser.add_argument
    add("--rounds", type=_positive, default=5, metavar="N", help="runs of each contestant (default 5)")
    add("--out", type=Path, default=ROOT / "benchmarks/results/codelab.json", metavar="FILE", help="the JSON to write")
    add("--peers", type=_peers, default=[*PEERS], metavar="A,B", help=f"of {','.join(PEERS)}; first the baseline")
    add("--envs", type=Path, default=ROOT / ".venvs", metavar="FOLDER", help="virtual environments, made and reused")
    options = parser.parse_args(argv)
    options.envs = options.envs.resolve()
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _peers(text: str) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return names


def _write_arrays(folder: str, envs: Path) -> None:
    # In digitlab's own interpreter: this script itself needs nothing installed.
    writer = Peer("digitlab", "the images", SCRIPTS / "codelab_job.py", PEERS["digitlab"].install, module="digitlab")
    run_once(writer, prepare(writer, envs), [folder])


if __name__ == "__main__":
    sys.exit(main())
