"""Who competes, and the one place where versions are pinned.

A contestant is a script and the environment it runs in; several may share one. The versions are the newest that install
on Python 3.11. Some registries serve a torch with CUDA under the same version; it computes on the CPU here.
"""

from __future__ import annotations

from pathlib import Path

from peers.peer import TIMEOUT_S, Peer

SCRIPTS = Path(__file__).resolve().parent

NUMPY = "numpy==2.4.6"
KERAS = (NUMPY, "keras==3.15.1")

#: What follows ``pip install``, by the name of the environment.
INSTALL: dict[str, tuple[str, ...]] = {
    "digitlab": ("-e", "."),
    "torch": (NUMPY, "torch==2.13.0"),
    "tensorflow": (*KERAS, "tensorflow==2.21.0"),
    "keras-jax": (*KERAS, "jax==0.10.2"),
    "onnxruntime": (NUMPY, "onnxruntime==1.32.0", "onnx==1.23.2"),
}

TITLES = {
    "digitlab": "digitlab",
    "torch": "PyTorch",
    "tensorflow": "TensorFlow",
    "keras-jax": "Keras on JAX",
    "onnxruntime": "ONNX Runtime",
}


def contestant(
    env: str, script: str, *, name: str | None = None, title: str | None = None, timeout_s: float = TIMEOUT_S
) -> Peer:
    """Return a contestant.

    Parameters
    ----------
    env : str
        The environment it runs in, a key of ``INSTALL``.
    script : str
        File name of its script, in this folder.
    name, title : str, optional
        What it is called on the command line and in the table; by default as its environment.
    timeout_s : float
        Seconds after which one run counts as failed.
    """
    return Peer(
        name or env,
        title or TITLES[env],
        SCRIPTS / script,
        INSTALL[env],
        # digitlab runs in the interpreter of the benchmark, where that has it.
        module="digitlab" if env == "digitlab" else None,
        env=env,
        timeout_s=timeout_s,
    )
