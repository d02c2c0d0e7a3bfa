"""The codelab's job on digitlab: ``python digitlab_codelab.py FOLDER`` prints one line of JSON."""

from __future__ import annotations

import codelab_job as job

import digitlab as dl


def main() -> None:
    """Train as :mod:`codelab_job` says."""
    arrays = job.read_arrays()
    model = dl.codelab_cnn(seed=0)

    def start() -> None:
        nonlocal model
        model = dl.codelab_cnn(seed=0)

    def train(epochs: int) -> tuple[float, float]:
        # Adam(0.001, 0.9, 0.999, 1e-7) is the default of fit.
        history = model.fit(
            arrays.images,
            arrays.labels,
            batch_size=job.BATCH_SIZE,
            epochs=epochs,
            validation_data=(arrays.val_images, arrays.val_labels),
            shuffle=True,
            seed=0,
        )
        return history.epochs[-1].val_loss, history.epochs[-1].val_accuracy

    # The default: a thread for each core.
    job.measure(("digitlab", "numba", "numpy"), job.n_threads(), start, train)


if __name__ == "__main__":
    main()
