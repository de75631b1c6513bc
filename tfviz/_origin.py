"""Where a picture comes from: what its description says of model and versions."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfviz
from tfviz._adapter import Adapter


def origin(adapter: Adapter) -> dict[str, Any]:
    """Return the model, how it is seen, and the versions, as JSON values."""
    return {
        "tfviz": tfviz.__version__,
        "model": {
            "name": adapter.name,
            "source": getattr(adapter.model, "tfviz_source", None),
            "hash": adapter.fingerprint(),
        },
        "preprocess": adapter.preprocess.name,
        "logits": adapter.logits_source,
        "held": adapter.held,
        "image_input": adapter.image_input,
        "output": adapter.output,
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }
