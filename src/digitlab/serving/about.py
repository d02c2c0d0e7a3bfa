"""About: what a server's network is, and what it allows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from digitlab import __version__
from digitlab.serving.service import Service
from digitlab.values import Value

__all__ = ["About", "about"]


@dataclass(frozen=True, slots=True)
class About(Value):
    """The network that answers.

    Attributes
    ----------
    name : str
        The network's.
    source : str
        "shipped reader", or what a run or file is called, without its folder.
    version : str
        digitlab's.
    n_parameters : int
        Weights.
    input_shape : tuple of int
        Of one image.
    class_names : tuple of str
        The position is the label.
    knows_not_a_digit : bool
        Whether it may answer that there is no digit.
    reads_photos : bool
        Whether ``POST /api/read`` can be asked.
    export_formats : tuple of str
        What ``GET /api/model/export`` writes here.
    max_bytes, max_images, max_pages : int
        The limits of one request.
    """

    name: str
    source: str
    version: str
    n_parameters: int
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    knows_not_a_digit: bool
    reads_photos: bool
    export_formats: tuple[str, ...]
    max_bytes: int
    max_images: int
    max_pages: int


def about(service: Service, export_formats: tuple[str, ...]) -> About:
    """Return what a service's network is; loads it if need be."""
    predictor, options = service.predictor, service.options
    model, reader = predictor.model, predictor.reader
    return About(
        name=model.name,
        source="shipped reader" if service.model_name is None else Path(service.model_name).name,
        version=__version__,
        n_parameters=model.count_params(),
        input_shape=tuple(model.architecture.input_shape),
        class_names=tuple(model.class_names),
        knows_not_a_digit=reader is not None and reader.answers.knows_not_a_digit,
        reads_photos=reader is not None,
        export_formats=export_formats,
        max_bytes=options.max_bytes,
        max_images=options.max_images,
        max_pages=options.max_pages,
    )
