"""Read the tiny autoencoders for Stable Diffusion of Ollin Boer Bohan (MIT).

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

# Of a latent, as its decoder bounds it: 3 tanh(z / 3).
BOUND = 3.0
# What the kernels of the first convolutions are called.
DECODER, ENCODER = "1.weight", "0.weight"


def read_safetensors(path: str | os.PathLike) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of a file, as float32.

    The format: eight bytes with the length of a JSON header, which says where each
    tensor's numbers are (https://huggingface.co/docs/safetensors).

    Args:
        path: A `.safetensors` file of bfloat16, float16 or float32 tensors.

    Raises:
        ValueError: If the file is cut off, or is another.
    """
    data = Path(path).read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        body = memoryview(data)[8 + length :]
        return {name: _tensor(entry, body) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} cannot be read as safetensors; is it complete?"
        ) from error


def _tensor(entry: Mapping[str, Any], body: memoryview) -> NDArray[np.float32]:
    first, last = entry["data_offsets"]
    if last > len(body):
        raise ValueError("The file is cut off.")
    raw = body[first:last]
    if entry["dtype"] == "BF16":
        bits = np.frombuffer(raw, "<u2").astype("<u4") << 16
        values = bits.view("<f4")
    else:
        kind = {"F16": "<f2", "F32": "<f4"}[entry["dtype"]]
        values = np.frombuffer(raw, kind).astype(np.float32)
    return values.reshape(entry["shape"])


def decoder(weights: Mapping[str, NDArray[np.float32]]) -> Callable[[Any], Any]:
    """Return `decode(latents) -> images`, about in [0, 1], of eight times the size."""
    convs, blocks = _grouped(weights)
    first, last = min(convs), max(convs)

    def decode(latents: Any) -> Any:
        x = BOUND * tf.tanh(latents / BOUND)
        for place in sorted({*convs, *blocks}):
            if place in blocks:
                x = _block(blocks[place], x)
                continue
            if place not in (first, last):
                x = tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
            x = _conv(x, *convs[place])
            if place == first:
                x = tf.nn.relu(x)
        return x

    return decode


def encoder(weights: Mapping[str, NDArray[np.float32]]) -> Callable[[Any], Any]:
    """Return `encode(images) -> latents`, for images in [0, 1]."""
    convs, blocks = _grouped(weights)
    ends = (min(convs), max(convs))

    def encode(images: Any) -> Any:
        x = images
        for place in sorted({*convs, *blocks}):
            if place in blocks:
                x = _block(blocks[place], x)
            else:
                x = _conv(x, *convs[place], stride=1 if place in ends else 2)
        return x

    return encode


def weights(
    path: str | os.PathLike, first: str, channels: int
) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a decoder or an encoder of TAESD.

    Args:
        path: Of the file.
        first: What the kernel of its first convolution is called, `DECODER` or
            `ENCODER`.
        channels: That it takes.

    Raises:
        ValueError: If it is something else.
    """
    found = read_safetensors(path)
    shape = found[first].shape if first in found else None
    if shape is None or len(shape) != 4 or shape[1] != channels:
        told = "no such array" if shape is None else f"one of the shape {shape}"
        raise ValueError(
            f"{os.fspath(path)!r} is not that part of TAESD: expected an array "
            f"{first!r} for {channels} channels. Received: {told}"
        )
    return found


_Conv = tuple[Any, Any]


def _grouped(
    weights: Mapping[str, NDArray[np.float32]],
) -> tuple[dict[int, _Conv], dict[int, list[_Conv]]]:
    """Return convolutions and residual blocks by their place in the network."""
    convs: dict[int, _Conv] = {}
    blocks: dict[int, list[_Conv]] = {}
    for name in sorted(weights):
        if not name.endswith(".weight"):
            continue
        stem = name.removesuffix(".weight")
        # From (out, in, height, width).
        kernel = tf.constant(weights[name].transpose(2, 3, 1, 0))
        bias = weights.get(f"{stem}.bias")
        conv = (kernel, None if bias is None else tf.constant(bias))
        place, *inside = stem.split(".")
        if inside:
            blocks.setdefault(int(place), []).append(conv)
        else:
            convs[int(place)] = conv
    return convs, blocks


def _block(convs: list[_Conv], x: Any) -> Any:
    change = x
    for number, conv in enumerate(convs):
        change = _conv(tf.nn.relu(change) if number else change, *conv)
    return tf.nn.relu(change + x)


def _conv(x: Any, kernel: Any, bias: Any, stride: int = 1) -> Any:
    # A margin of 1 on all sides; TensorFlow's own would differ where it strides.
    margins = [[0, 0], [1, 1], [1, 1], [0, 0]]
    x = tf.nn.conv2d(x, kernel, stride, margins)
    return x if bias is None else tf.nn.bias_add(x, bias)
