"""An epoch in one line of text, as the terminal shows it: the same for a training there and for one on the page."""

from __future__ import annotations

from digitlab.evaluation.markup import percent
from digitlab.values import EpochRecord, FinderEpochRecord

__all__ = ["epoch_line"]


def epoch_line(record: EpochRecord, n_epochs: int) -> str:
    """Return an epoch's number of ``n_epochs``, losses in nats, accuracies and speed.

    Examples
    --------
    >>> epoch_line(EpochRecord(2, 22, 1.99, 0.357, 1.7639, 0.696, 0.001, 102_444.0), 10)
    'Epoch  2/10  loss 1.9900  accuracy 35.70 %  val_loss 1.7639  val_accuracy 69.60 %  102,444 images/s'
    """
    parts = [
        f"Epoch {record.epoch:>{len(str(n_epochs))}}/{n_epochs}",
        f"loss {record.loss:.4f}",
        f"accuracy {percent(record.accuracy)}",
    ]
    if record.val_loss is not None and record.val_accuracy is not None:
        parts += [f"val_loss {record.val_loss:.4f}", f"val_accuracy {percent(record.val_accuracy)}"]
    if isinstance(record, FinderEpochRecord):
        n = max(1, record.n_marks)
        parts += [
            f"missed {percent(record.n_missed / n)}",
            f"wrong {percent(record.n_wrong / n)}",
            f"extra {record.n_extra / max(1, record.n_crops):.3f} a crop",
        ]
        return "  ".join([*parts, f"{record.images_per_s:,.0f} crops/s"])
    return "  ".join([*parts, f"{record.images_per_s:,.0f} images/s"])
