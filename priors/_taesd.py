"""The networks of TAESD, and a reader for their safetensors files.

TAESD is the tiny autoencoder for Stable Diffusion by Ollin Boer Bohan (MIT license),
https://github.com/madebyollin/taesd
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# The decoder bounds latents to this size, by 3 tanh(z / 3).
BOUND = 3.0
# What its author says of the training (https://github.com/madebyollin/taesd/issues/2):
# the encoder imitates that of Stable Diffusion, and the decoder was trained with
# discriminators and later also with LPIPS, which compares features of a network trained
# on ImageNet. The autoencoder of Stable Diffusion was trained with LPIPS as well
# (https://arxiv.org/abs/2112.10752). The photos are not documented with the weights.
TRAINED = {
    "networks": {"the network in LPIPS": None},
    "data": ["ImageNet"],
    "about": "Trained by its author to imitate the autoencoder of Stable Diffusion, "
    "with discriminators, and in later versions with LPIPS. That autoencoder was "
    "trained with LPIPS, too, which compares features of a network trained on "
    "ImageNet. The photos are not documented with the weights.",
}
# The names of the kernels of the first convolutions, which tell the networks apart.
DECODER, ENCODER = "1.weight", "0.weight"

# The kernel of a convolution, and its bias or None.
_Conv = tuple[Any, Any]


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float32]]:
    """Read the tensors of a safetensors file as float32, by name.

    The file starts with eight bytes that hold the length of a JSON header, which lists
    the position of each tensor (https://huggingface.co/docs/safetensors).

    Args:
        path: A `.safetensors` file of bfloat16, float16 or float32 tensors.

    Raises:
        ValueError: If the file is truncated or has another format.
    """
    data = Path(path).read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        body = memoryview(data)[8 + length :]
        return {name: _read_tensor(entry, body) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} cannot be read as safetensors; is it complete?"
        ) from error


def decoder(weights: Mapping[str, NDArray[np.float32]]) -> Callable[[Any], Any]:
    """Return `decode(latents) -> images`, which multiplies the size by eight.

    The images lie about in [0, 1].
    """
    convs, blocks = _group_layers(weights)
    first, last = min(convs), max(convs)

    def decode(latents: Any) -> Any:
        x = BOUND * tf.tanh(latents / BOUND)
        for position in sorted({*convs, *blocks}):
            if position in blocks:
                x = _block(blocks[position], x)
                continue
            if position not in (first, last):
                x = tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
            x = _conv(x, *convs[position])
            if position == first:
                x = tf.nn.relu(x)
        return x

    return decode


def encoder(weights: Mapping[str, NDArray[np.float32]]) -> Callable[[Any], Any]:
    """Return `encode(images) -> latents`, for images in [0, 1]."""
    convs, blocks = _group_layers(weights)
    ends = (min(convs), max(convs))

    def encode(images: Any) -> Any:
        x = images
        for position in sorted({*convs, *blocks}):
            if position in blocks:
                x = _block(blocks[position], x)
            else:
                x = _conv(x, *convs[position], stride=1 if position in ends else 2)
        return x

    return encode


def read_weights(
    path: str | os.PathLike[str], first: str, channels: int
) -> dict[str, NDArray[np.float32]]:
    """Read the weights of the decoder or the encoder of TAESD, by name.

    Args:
        path: The path of the file.
        first: The name of the kernel of the first convolution, `DECODER` or `ENCODER`.
        channels: The number of channels of the network's input.

    Raises:
        ValueError: If the file holds other weights.
    """
    weights = read_safetensors(path)
    shape = weights[first].shape if first in weights else None
    if shape is None or len(shape) != 4 or shape[1] != channels:
        received = "no such array" if shape is None else f"one of the shape {shape}"
        network = "decoder" if first == DECODER else "encoder"
        raise ValueError(
            f"{os.fspath(path)!r} does not hold the {network} of TAESD: expected an "
            f"array {first!r} for {channels} channels. Received: {received}"
        )
    return weights


def _read_tensor(entry: Mapping[str, Any], body: memoryview) -> NDArray[np.float32]:
    first, last = entry["data_offsets"]
    if last > len(body):
        raise ValueError("The file is truncated.")
    raw = body[first:last]
    if entry["dtype"] == "BF16":
        bits = np.frombuffer(raw, "<u2").astype("<u4") << 16
        values = bits.view("<f4")
    else:
        kind = {"F16": "<f2", "F32": "<f4"}[entry["dtype"]]
        values = np.frombuffer(raw, kind).astype(np.float32)
    return values.reshape(entry["shape"])


def _group_layers(
    weights: Mapping[str, NDArray[np.float32]],
) -> tuple[dict[int, _Conv], dict[int, list[_Conv]]]:
    """Return convolutions and residual blocks by their position in the network."""
    convs: dict[int, _Conv] = {}
    blocks: dict[int, list[_Conv]] = {}
    for name in sorted(weights):
        if not name.endswith(".weight"):
            continue
        stem = name.removesuffix(".weight")
        # PyTorch's kernels have the shape (out, in, height, width).
        kernel = tf.constant(weights[name].transpose(2, 3, 1, 0))
        bias = weights.get(f"{stem}.bias")
        conv = (kernel, None if bias is None else tf.constant(bias))
        position, *inside = stem.split(".")
        if inside:
            blocks.setdefault(int(position), []).append(conv)
        else:
            convs[int(position)] = conv
    return convs, blocks


def _block(convs: list[_Conv], x: Any) -> Any:
    change = x
    for number, conv in enumerate(convs):
        change = _conv(tf.nn.relu(change) if number else change, *conv)
    return tf.nn.relu(change + x)


def _conv(x: Any, kernel: Any, bias: Any, stride: int = 1) -> Any:
    # Padding by 1 on all sides, as in PyTorch; "same" would differ with strides.
    margins = [[0, 0], [1, 1], [1, 1], [0, 0]]
    x = tf.nn.conv2d(x, kernel, stride, margins)
    return x if bias is None else tf.nn.bias_add(x, bias)
