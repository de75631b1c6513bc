"""How a learned prior is related to the network whose units are visualized with it.

What a prior's picture shows may come from the network, or from what the prior learned
in its training. The more both have in common, the less the picture proves.
"""

from collections.abc import Mapping
from typing import Any

from tfviz.models.adapter import Adapter
from tfviz.models.labels import imagenet_labels
from tfviz.models.sources import BUNDLED, KERAS
from tfviz.params import Param

SAME_NETWORK = "same network"
SAME_DATA = "same data"
OTHER_NETWORK = "other network"
PIXELS_ONLY = "pixels only"
UNKNOWN = "unknown training"
# What each level means, from the nearest relation to the most distant one.
MEANINGS = {
    SAME_NETWORK: "The prior was trained with the features of this network. It may "
    "paint what it learned of the network, rather than what the unit looks for: that "
    "its pictures excite the unit, and look like photos, tells less than of other "
    "methods.",
    SAME_DATA: "The prior has not seen this network, but both have learned from the "
    "same dataset: from its photos, or by way of a network that was trained on them. "
    "They may know the same objects, so that a picture which shows one is no proof "
    "that the unit looks for it.",
    OTHER_NETWORK: "The prior was trained with the features of another network, which "
    "is not known to have learned from the same data. What that network ignores, the "
    "prior cannot show.",
    PIXELS_ONLY: "The prior was trained on photos without the features of any network, "
    "and not on the data of this one. It knows which pictures are common, and nothing "
    "of the network.",
    UNKNOWN: "What the prior was trained with is not recorded. It may be related to "
    "the network in any of these ways.",
}
# What a verdict says of a method whose prior is related to the network.
CAVEATS = {
    SAME_NETWORK: "Its prior was trained with this network: what it shows may be what "
    "the prior learned of the network.",
    SAME_DATA: "Its prior learned from the same data as this network: what it shows "
    "may be what both know of these data.",
    UNKNOWN: "What its prior was trained with is not recorded, so it may be related to "
    "this network.",
}
# The dataset whose networks and photos are recognized.
IMAGENET = "ImageNet"


def kinship(param: Param, network: Adapter) -> str | None:
    """Return how a param is related to the network whose units it visualizes.

    Args:
        param: The param, whose `trained` says what it was trained with.
        network: The network.

    Returns:
        One of the keys of `MEANINGS`, or None for a param without a trained decoder.

    >>> import tfviz
    >>> network = tfviz.adapt(tfviz.load_model("squeezenet"))
    >>> kinship(tfviz.params.fourier(64, 64), network)
    """
    trained = param.trained
    if trained is None:
        return None
    if not trained:
        return UNKNOWN
    if network.fingerprint() in trained["networks"].values():
        return SAME_NETWORK
    if dataset_of(network) in trained["data"]:
        return SAME_DATA
    return OTHER_NETWORK if trained["networks"] else PIXELS_ONLY


def kinships(param: Param) -> dict[str, str]:
    """Return how a param is related to each network that it can be related to.

    Returns:
        The levels of `MEANINGS` by the networks, in words; empty for a param without a
        trained decoder.
    """
    trained = param.trained
    if trained is None:
        return {}
    if not trained:
        return {"any network": UNKNOWN}
    levels = {
        name: SAME_NETWORK
        for name, fingerprint in trained["networks"].items()
        if fingerprint is not None
    }
    other = "other " if levels else ""
    levels |= {f"{other}networks trained on {d}": SAME_DATA for d in trained["data"]}
    rest = "all others" if levels else "any network"
    return levels | {rest: OTHER_NETWORK if trained["networks"] else PIXELS_ONLY}


def is_trained_with(param: Param, fingerprint: str | None) -> bool:
    """Return whether a param was trained with the network that has a fingerprint."""
    networks = (param.trained or {}).get("networks", {})
    return fingerprint is not None and fingerprint in networks.values()


def dataset_of(network: Adapter) -> str | None:
    """Return the dataset that a network was trained on, as far as its classes tell."""
    source = getattr(network.model, "tfviz_source", None) or ""
    imagenet = imagenet_labels()
    labels = network.labels
    if labels is None or _is_random(source):
        return None
    same = labels.wnids == imagenet.wnids or labels.names == imagenet.names
    return IMAGENET if same else None


def dataset_of_source(source: str | None) -> str | None:
    """Return the dataset of a network that `load_model` loads by a name, or None."""
    if source is None or _is_random(source):
        return None
    return IMAGENET if source in BUNDLED or source.startswith(KERAS) else None


def _is_random(source: str) -> bool:
    return source.startswith(KERAS) and "weights=none" in source


def describe(trained: Mapping[str, Any] | None) -> str:
    """Say in a sentence what a param was trained with."""
    if trained is None:
        return "Nothing in it was trained."
    return trained.get("about") or "What it was trained with is not recorded."
