"""A preset as JSON, and what of it the peers can do. Only the standard library is needed here.

A recipe is a dict: ``config``, a ``TrainConfig`` in its JSON form; ``changed``, what of it differs from the defaults;
``architecture``, the network's JSON form; and ``rates``, the learning rate of every step, as digitlab's schedule gives
it. The defaults are the codelab's, so whatever is not changed asks for nothing special.
"""

from __future__ import annotations

from typing import Any

#: Settings that the peers follow, whatever their value.
FOLLOWED = {
    "network", "train_images", "validation_images", "batch_size", "epochs", "learning_rate", "schedule", "beta_1",
    "beta_2", "epsilon", "weight_decay", "label_smoothing", "shuffle", "seed",
}  # fmt: skip
#: What AdamW takes away where nothing else is said; Adam takes nothing.
DEFAULT_DECAY = {"adam": 0.0, "adamw": 0.004}

#: Layers that the peers build, with what they know of each. The initialisers do not matter: weights are handed over.
_BUILT: dict[str, set[str]] = {
    "Conv2D": {"filters", "kernel_size", "padding", "activation", "use_bias"},
    "MaxPooling2D": {"pool_size", "strides", "padding"},
    "Flatten": set(),
    "Dropout": {"rate"},
    "Dense": {"units", "activation", "use_bias"},
}
_IRRELEVANT = {"class_name", "name", "kernel_initializer", "bias_initializer"}


def lacking(recipe: dict[str, Any]) -> list[str]:
    """Return what the recipe asks for and the peers cannot do, in words; empty when they can follow it.

    A setting that this function has never heard of counts as lacking once a preset changes it.
    """
    config, changed = recipe["config"], recipe["changed"]
    lacks = [f"{name} = {changed[name]}" for name in changed if name not in FOLLOWED and name != "optimizer"]
    if config["optimizer"] not in DEFAULT_DECAY:
        lacks.append(f"optimizer = {config['optimizer']}")
    return lacks + lacking_layers(recipe["architecture"])


def lacking_layers(architecture: dict[str, Any]) -> list[str]:
    """Return what the network holds and the peers cannot build, in words."""
    lacks = []
    for layer in architecture["layers"]:
        kind = layer["class_name"]
        if kind not in _BUILT:
            lacks.append(f"the layer {kind}")
            continue
        # A setting that came later and is off, as None, False and 0 are, changes nothing.
        unknown = [name for name, value in layer.items() if value and name not in _BUILT[kind] | _IRRELEVANT]
        lacks += [f"{kind} with {name} = {layer[name]}" for name in unknown]
        if kind == "MaxPooling2D" and layer["padding"] != "valid":
            lacks.append(f"MaxPooling2D with padding = {layer['padding']}")
    return list(dict.fromkeys(lacks))


def decay(config: dict[str, Any]) -> float:
    """Return the weight decay that the settings mean."""
    given = config["weight_decay"]
    return DEFAULT_DECAY[config["optimizer"]] if given is None else given
