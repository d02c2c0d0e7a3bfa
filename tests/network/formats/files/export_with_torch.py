"""Export networks with PyTorch, by its older exporter (script) and its newer one (dynamo)."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

weights = [torch.from_numpy(array) for array in np.load(sys.argv[1]).values()]


def codelab() -> nn.Module:
    """Return the codelab's network with digitlab's weights: kernels (h, w, in, out), rows in the order h, w, c."""
    network = nn.Sequential(
        nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 10), nn.Softmax(dim=1),
    )  # fmt: skip
    for place, (kernel, bias) in {0: weights[0:2], 3: weights[2:4]}.items():
        network[place].weight.data, network[place].bias.data = kernel.permute(3, 2, 0, 1).contiguous(), bias
    rows = weights[4].reshape(4, 4, 16, 10).permute(3, 2, 0, 1)
    network[7].weight.data, network[7].bias.data = rows.reshape(10, 256).contiguous(), weights[5]
    return network


class Odd(nn.Module):
    """Pooling before ReLU, a border, dropout, a flattening by hand and the logarithms of probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 4, 5, padding=2, bias=False)
        self.dropout, self.last = nn.Dropout(0.25), nn.Linear(144, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return log-probabilities."""
        x = functional.relu(functional.max_pool2d(self.first(images), 2))
        x = functional.max_pool2d(functional.relu(self.second(x)), 2)
        return functional.log_softmax(self.last(self.dropout(x.view(x.size(0), -1))), dim=1)


def without_origin(path: str) -> None:
    """Take out what the exporter says of the machine and the program that it ran in."""
    model = onnx.load(path, load_external_data=False)
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]
    del model.metadata_props[:]
    Path(path).write_bytes(model.SerializeToString())


torch.manual_seed(0)
images = torch.zeros(2, 1, 28, 28)
for name, network in (("codelab", codelab().eval()), ("odd", Odd().eval())):
    torch.onnx.export(
        network, (images,), f"{name}_torch_script.onnx", dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}}
    )
    torch.onnx.export(
        network, (images,), f"{name}_torch_dynamo.onnx", dynamo=True, input_names=["x"], external_data=False,
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
    )  # fmt: skip
    for exporter in ("script", "dynamo"):
        without_origin(f"{name}_torch_{exporter}.onnx")


def modern() -> nn.Module:
    """Return a network with strides, normalization before and behind an activation, and average pooling."""
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(6), nn.AvgPool2d(4),
        nn.Flatten(), nn.Linear(54, 16), nn.Tanh(), nn.Linear(16, 10),
    )  # fmt: skip
    for i in (1, 5):
        network[i].weight.data.uniform_(0.5, 1.5)
        network[i].bias.data.normal_()
        network[i].running_mean.normal_()
        network[i].running_var.uniform_(0.5, 1.5)
    return network


model = modern()
save_file(model.state_dict(), "modern_torch.safetensors")
torch.onnx.export(model.eval(), (torch.zeros(1, 1, 28, 28),), "modern_torch_default.onnx")
# What digitlab tells people who have a .pt file, as it tells it.
model.eval()
images = torch.zeros(1, 1, 28, 28)
torch.onnx.export(model, (images,), "model.onnx", external_data=False)
Path("model.onnx").rename("modern_torch_dynamo.onnx")
older = functools.partial(torch.onnx.export, dynamo=False)
older(model, (images,), "modern_torch_script.onnx", external_data=False)
for exporter in ("default", "dynamo", "script"):
    without_origin(f"modern_torch_{exporter}.onnx")
