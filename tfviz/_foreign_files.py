"""Files that hold no model that TensorFlow could run, and how to get one of them."""

from pathlib import Path

_SAVE = "save it with model.save('name.keras')"
_BUILD = "Build the model in Python with the code that it was trained with"
_ARRAYS = (
    "holds arrays without the architecture of a model. "
    f"{_BUILD}, set its weights with model.set_weights, and {_SAVE}."
)
_PYTORCH = (
    "looks like weights of PyTorch, which TensorFlow cannot run. In Python, export the "
    "model with torch.onnx.export, convert that file with `onnx2tf` to a SavedModel, "
    "and give the folder; or build the same layers in Keras, copy the weights with "
    f"layer.set_weights, and {_SAVE}."
)
_ARCHITECTURE = (
    "can hold the architecture of a model, but not its weights. In Python, build the "
    "model with keras.models.model_from_json, load its weights with "
    f"model.load_weights, and {_SAVE}."
)
_CHECKPOINT = (
    "is a checkpoint of TensorFlow: weights without the architecture of the model. "
    f"{_BUILD} (in tf_keras, if that was for TensorFlow before 2.16), restore them "
    "with tf.train.Checkpoint(NAME=model).read({prefix}), where NAME begins the names "
    "that tf.train.list_variables lists for the same path, "
    f"and {_SAVE}."
)
_KERAS_WEIGHTS = (
    "holds the weights of a Keras model without its architecture. "
    f"{_BUILD}, {{rename}}load them with model.load_weights({{weights!r}}), and "
    f"{_SAVE}."
)
# A folder with one of these files is a SavedModel.
GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")
# What a folder is that holds a file of such a name.
_BY_CONTENTS = {
    "tf_model.h5": (
        f"is a model of the package transformers. Load it in Python, and {_SAVE}."
    ),
    **dict.fromkeys(("pytorch_model.bin", "*.safetensors"), _PYTORCH),
    "model.json": (
        "is a TensorFlow.js model. Give the Keras model that it was made from."
    ),
}
# What the suffix of a file says about it.
_BY_SUFFIX = {
    **dict.fromkeys(
        (".7z", ".gz", ".rar", ".tar", ".tgz", ".zip"),
        "is an archive. Unpack it, and give the model in it.",
    ),
    **dict.fromkeys((".npy", ".npz", ".pkl", ".pickle"), _ARRAYS),
    **dict.fromkeys((".bin", ".pt", ".pth", ".ckpt", ".safetensors"), _PYTORCH),
    **dict.fromkeys((".json", ".yaml", ".yml"), _ARCHITECTURE),
    ".onnx": (
        "is a model in ONNX format. Convert it to a SavedModel, for example with "
        "`onnx2tf -i {file} -o {stem}`, and give that folder."
    ),
    ".tflite": (
        "is a model of TensorFlow Lite, which has no gradients. Give the model that it "
        "was converted from, as a Keras file or a SavedModel."
    ),
    ".pb": (
        "looks like a frozen graph of TensorFlow 1. Load it in Python with "
        "tf.compat.v1.wrap_function and tf.graph_util.import_graph_def, export the "
        "function with tf.saved_model.save, and give that folder."
    ),
}


def explain_file(path: Path) -> str | None:
    """Say what a file or folder holds that is no model, and how to go on with it.

    Args:
        path: A file or a folder, other than that of a SavedModel, or the prefix of a
            checkpoint.

    Returns:
        A few sentences that begin with the path, or None if it may be a model, does
        not exist, or nothing is known about it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "net.onnx")
    ...     file.touch()
    ...     print(explain_file(file).partition("example with ")[2])
    `onnx2tf -i net.onnx -o net`, and give that folder.
    """
    prefix = _checkpoint(path)
    if prefix is not None:
        text: str | None = _CHECKPOINT.format(prefix=repr(str(prefix)))
    elif not path.exists():
        text = None
    elif path.is_dir():
        found = (name for name in _BY_CONTENTS if any(path.glob(name)))
        text = _BY_CONTENTS.get(next(found, ""))
    elif path.name in GRAPH_FILES:
        text = f"is a part of a SavedModel. Give its folder: {str(path.parent)!r}"
    elif path.suffix.lower() in (".h5", ".hdf5"):
        text = _explain_hdf5(path)
    else:
        text = _BY_SUFFIX.get(path.suffix.lower(), "")
        text = text.format(file=path.name, stem=path.stem)
    return f"{str(path)!r} {text}" if text else None


def _checkpoint(path: Path) -> Path | None:
    """Return the prefix of a checkpoint, if the path is a part or the folder of one."""
    index = Path(f"{path}.index")  # the prefix itself is no file
    if path.is_dir():
        found = sorted(path.glob("*.index"))
        index = found[-1] if found else index
    elif path.name == "checkpoint":
        return _checkpoint(path.parent)
    elif ".data-" in path.suffix or path.suffix in (".index", ".meta"):
        index = path.with_suffix(".index")
    return index.with_suffix("") if index.is_file() else None


def _explain_hdf5(path: Path) -> str | None:
    """Return the text for an HDF5 file that has no description of a model."""
    import h5py  # noqa: PLC0415 (slow to import, and rarely needed)

    try:
        with h5py.File(path) as file:
            if "model_config" in file.attrs:
                return None
            written_by_keras_3 = "layer_names" not in file.attrs
    except OSError:
        return None
    weights, rename = str(path), ""
    if written_by_keras_3 and not path.name.endswith(".weights.h5"):
        # Keras takes files of this form only by this suffix.
        weights = str(path.with_suffix(".weights.h5"))
        rename = f"rename the file to {weights!r}, "
    return _KERAS_WEIGHTS.format(weights=weights, rename=rename)
