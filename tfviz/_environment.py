"""Requirements on the process, checked before TensorFlow and Keras are used."""

import os
import platform
import sys
import warnings

# TensorFlow reads this variable once, while it is imported.
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def prefer_onednn() -> None:
    """Turn on oneDNN's convolutions, unless the user has set the variable.

    TensorFlow turns them on by itself only on processors with AVX-512. Without them, a
    gradient step takes about 1.8 times as long.
    """
    if ONEDNN in os.environ or platform.machine().lower() not in {"x86_64", "amd64"}:
        return
    if "tensorflow" not in sys.modules:
        os.environ[ONEDNN] = "1"
    elif not _onednn_is_on():
        warnings.warn(
            "TensorFlow was imported before tfviz and runs without oneDNN here, so "
            "rendering on the CPU takes about 1.8 times as long. Import tfviz first, "
            f"or set {ONEDNN}=1 before Python starts.",
            stacklevel=3,
        )


def _onednn_is_on() -> bool:
    try:
        from tensorflow.python.util import _pywrap_util_port  # noqa: PLC0415
    except ImportError:  # the module was moved: rather no warning than a wrong one
        return True
    return bool(_pywrap_util_port.IsMklEnabled())


def require_tensorflow_backend() -> None:
    """Make sure that Keras runs on TensorFlow.

    Raises:
        RuntimeError: If `KERAS_BACKEND` or Keras' configuration names another backend.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend == "tensorflow":
        import keras  # noqa: PLC0415

        backend = keras.backend.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"tfviz needs Keras on TensorFlow, but its backend is {backend!r}. Set "
            "KERAS_BACKEND=tensorflow before Python starts."
        )


def require_channels_last() -> None:
    """Make sure that Keras expects the channels of images last.

    Raises:
        RuntimeError: If Keras' image data format is `channels_first`.
    """
    import keras  # noqa: PLC0415

    if keras.config.image_data_format() != "channels_last":
        raise RuntimeError(
            "tfviz needs images with the channels last, but Keras is set to "
            "'channels_first'. Call keras.config.set_image_data_format("
            "'channels_last'), or change it in ~/.keras/keras.json."
        )
