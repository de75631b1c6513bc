"""What a pass over images keeps of each unit, in a memory that does not grow with them.

The units of all layers lie along one axis, so that a batch of images costs a few
operations on arrays `(images, units)`, however many layers there are.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

# The number of units of the same layer that are kept as a unit's neighbours.
NEIGHBOURS = 8
# The correlations of so many units with all others are in memory at once: those of all
# units of a flattened map would take gigabytes.
_ROWS = 256
# The finest width of a histogram's bins is 2 to this power, so that a unit that never
# varies has bins of a usable width, too.
_FINEST = -20
# The number of bits of a float's fraction: bins are never finer than what it resolves.
_FRACTION = 23
# The largest value of a hash.
_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)


class Ranking:
    """The images with the highest, or lowest, values of each unit.

    Among equal values, those of earlier images come first.

    Args:
        units: The number of units.
        k: The number of images that are kept of each unit.
        lowest: Whether to keep the lowest values.

    Attributes:
        images: The images `(units, k)` by their indices; -1 where there is none yet.
        positions: The positions that belong to the values, `(units, k)`.
    """

    def __init__(self, units: int, k: int, *, lowest: bool = False) -> None:
        self._sign = np.float32(-1 if lowest else 1)
        self._values = np.full((units, k), -np.inf, np.float32)  # times the sign
        self.images = np.full((units, k), -1, np.int32)
        self.positions = np.zeros((units, k), np.int32)

    @property
    def values(self) -> Floats:
        """The values `(units, k)`, best first."""
        return self._sign * self._values

    @property
    def threshold(self) -> Floats:
        """The value that another image must exceed to be kept, `(units,)`."""
        return self._sign * self._values[:, -1]

    def add(
        self, values: Floats, images: Integers, positions: Integers
    ) -> NDArray[np.bool_]:
        """Add the values of a batch of images, which come after all earlier images.

        Args:
            values: The values, `(n, units)`.
            images: The indices of the images, `(n,)`, in ascending order.
            positions: The positions of the values, `(n, units)`. Only those of values
                above the threshold matter.

        Returns:
            Which of the images are kept by some unit, `(n,)`.
        """
        values = self._sign * values
        changed = np.flatnonzero((values > self._values[:, -1]).any(axis=0))
        shape = (len(changed), len(images))
        # Earlier images stand first, so a stable sort leaves them before equal ones.
        merged = np.hstack([self._values[changed], values[:, changed].T])
        order = np.argsort(-merged, axis=1, kind="stable")[:, : self._values.shape[1]]
        self._values[changed] = np.take_along_axis(merged, order, axis=1)
        for kept, of_batch in (
            (self.images, np.broadcast_to(images, shape)),
            (self.positions, positions[:, changed].T),
        ):
            joined = np.hstack([kept[changed], of_batch])
            kept[changed] = np.take_along_axis(joined, order, axis=1)
        return np.isin(images, self.images[changed])


def sampling_keys(seed: int, places: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a random number for each image: its hash together with a seed.

    The images with the smallest numbers are a uniform random sample. The hash is
    SplitMix64 (Steele, Lea and Flood 2014), which is the same on every machine.

    Args:
        seed: The seed.
        places: The places of the images among all files, `(n,)`.
    """
    with np.errstate(over="ignore"):
        x = places.astype(np.uint64) + np.uint64(seed % 2**32 << 32)
        x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


class Sample:
    """The responses of all units to a uniform random sample of the images.

    Args:
        size: The largest number of images.
        seed: The random seed; see `sampling_keys`.
        units: The number of units.
        features: The number of features of an image.

    Attributes:
        images: The images, `(size,)`; -1 where there is none yet.
        responses: The responses, `(size, units)`.
        positions: The positions of the peaks, `(size, units)`.
        features: The features of the images, `(size, features)`.
    """

    def __init__(self, size: int, seed: int, units: int, features: int) -> None:
        self._seed = seed
        self._keys = np.full(size, _LAST)
        self.images = np.full(size, -1, np.int32)
        self.responses = np.zeros((size, units), np.float32)
        self.positions = np.zeros((size, units), np.int32)
        self.features = np.zeros((size, features), np.float32)

    @property
    def limit(self) -> np.uint64:
        """Images are taken whose hash is below this number, which never rises."""
        return self._keys.max()

    def add(
        self,
        images: Integers,
        places: NDArray[Any],
        responses: Floats,
        positions: Integers,
        features: Floats,
    ) -> None:
        """Add a batch of images; each one that is taken replaces the last by hash.

        Args:
            images: The indices of the images, `(n,)`.
            places: Their places among all files, also those that cannot be read. Their
                hashes are known before any file is read.
            responses: The responses, `(n, units)`.
            positions: The positions of the peaks, `(n, units)`.
            features: The features, `(n, features)`.
        """
        for i, key in enumerate(sampling_keys(self._seed, places)):
            place = self._keys.argmax()
            if key < self._keys[place]:
                self._keys[place], self.images[place] = key, images[i]
                self.responses[place] = responses[i]
                self.positions[place] = positions[i]
                self.features[place] = features[i]

    def in_order(self) -> "Sample":
        """Return the images of the sample in their order, without empty places."""
        order = np.argsort(self.images, kind="stable")
        order = order[self.images[order] >= 0]
        ordered = Sample(0, self._seed, 0, 0)
        for name in ("images", "responses", "positions", "features"):
            setattr(ordered, name, getattr(self, name)[order])
        return ordered


class Histogram:
    """Histograms of the units' responses, whose bins depend only on the data.

    The width of a unit's bins is the smallest power of two for which all its responses
    fall into consecutive bins whose edges are multiples of the width. The first bin
    contains the lowest response.

    Args:
        units: The number of units.
        bins: The number of bins, at least 2.

    Attributes:
        counts: The number of responses in each bin, `(units, bins)`.
    """

    def __init__(self, units: int, bins: int) -> None:
        self.counts = np.zeros((units, bins), np.int32)
        self._low = np.full(units, np.inf)
        self._high = np.full(units, -np.inf)
        self._exponent = np.full(units, _FINEST)
        self._first = np.zeros(units, np.int64)  # the first bin, counted from zero

    @property
    def width(self) -> Floats:
        """The width of the bins, `(units,)`."""
        return np.ldexp(np.float32(1), self._exponent)

    @property
    def low(self) -> Floats:
        """The lower edge of the first bin, `(units,)`."""
        return np.ldexp(self._first.astype(np.float32), self._exponent)

    def add(self, values: Floats) -> None:
        """Count the responses `(n, units)` of a batch of at least one image."""
        low = np.minimum(self._low, values.min(axis=0))
        high = np.maximum(self._high, values.max(axis=0))
        self._widen((low < self._low) | (high > self._high), low, high)
        self._low, self._high = low, high
        places = _bins(values, self._exponent) - self._first
        units, bins = self.counts.shape
        flat = (places + np.arange(units) * bins).ravel()
        self.counts += (
            np.bincount(flat, minlength=units * bins)
            .reshape(units, bins)
            .astype(np.int32)
        )

    def _widen(
        self, outside: NDArray[np.bool_], low: NDArray[Any], high: NDArray[Any]
    ) -> None:
        """Make the bins of some units span all their responses.

        Args:
            outside: The units whose range has grown, `(units,)`.
            low: The lowest response of each unit so far, `(units,)`.
            high: The highest response.
        """
        grown = np.flatnonzero(outside)
        low, high = low[grown], high[grown]
        bins = self.counts.shape[1]
        _, magnitude = np.frexp(np.maximum(abs(low), abs(high)))
        before = self._exponent[grown]
        exponent = np.maximum(before, magnitude - _FRACTION)
        while (narrow := _bins(high, exponent) - _bins(low, exponent) >= bins).any():
            exponent = exponent + narrow
        first = _bins(low, exponent)
        # Bins of double width are pairs of the old bins.
        old = self._first[grown, None] + np.arange(bins)
        new = (old >> (exponent - before)[:, None]) - first[:, None]
        counts = np.zeros((len(grown), bins), np.int32)
        rows, columns = np.nonzero(self.counts[grown])
        np.add.at(counts, (rows, new[rows, columns]), self.counts[grown][rows, columns])
        self.counts[grown] = counts
        self._exponent[grown], self._first[grown] = exponent, first


def _bins(values: NDArray[Any], exponent: NDArray[Any]) -> NDArray[np.int64]:
    """Return the bins of values, counted from zero, for widths of 2 ** exponent."""
    scaled = np.ldexp(np.asarray(values, np.float64), -exponent)
    return np.floor(scaled).astype(np.int64)


def spread_ranks(n: int, spread: int) -> NDArray[np.intp]:
    """Return the ranks of evenly spaced quantiles in n ascending values, from 0.

    The quantile at q is the lowest value that at least the share q of the values does
    not exceed; q are the middles of `spread` equal parts of [0, 1].

    >>> spread_ranks(100, 5)
    array([ 9, 29, 49, 69, 89])
    """
    return ((2 * np.arange(spread) + 1) * n - 1) // (2 * spread)


def most_correlated(responses: Floats) -> tuple[Integers, Floats]:
    """Return the units whose responses correlate most with those of each unit.

    Args:
        responses: The responses of the units of a layer to some images, `(n, units)`.

    Returns:
        The units and their correlations, `(units, m)` with m = 8, or all other units if
        there are fewer, in descending order; equal ones in the order of the units. The
        correlation with a unit that does not vary is 0.
    """
    centred = responses - responses.mean(axis=0, dtype=np.float64)
    centred[:, np.ptp(responses, axis=0) == 0] = 0
    length = np.linalg.norm(centred, axis=0)
    scaled = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    count = scaled.shape[1]
    most = min(NEIGHBOURS, count - 1)
    units = np.empty((count, most), np.int32)
    values = np.empty((count, most), np.float32)
    for first in range(0, count, _ROWS):
        rows = np.arange(first, min(first + _ROWS, count))
        # Rounding would order equal units by chance.
        correlations = (scaled[:, rows].T @ scaled).astype(np.float32)
        places = np.arange(len(rows))
        correlations[places, rows] = -np.inf
        for rank in range(most):
            best = correlations.argmax(axis=1)  # the first one of equal ones
            units[rows, rank] = best
            values[rows, rank] = correlations[places, best]
            correlations[places, best] = -np.inf
    return units, np.clip(values, -1, 1)


def mean_similarity(images: Integers, features: Floats) -> Floats:
    """Return how alike the images of each unit are in their features.

    Args:
        images: The rows of the images in `features`, `(units, k)`.
        features: The features of the images, centred, `(n, features)`.

    Returns:
        The mean cosine similarity between two different images of a unit, `(units,)`;
        nan if k is 1, or a feature is not finite. An image whose features are all zero
        is similar to none.
    """
    k = images.shape[1]
    if k < 2 or not np.isfinite(features).all():
        return np.full(len(images), np.nan, np.float32)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    scaled = np.divide(features, length, out=np.zeros_like(features), where=length > 0)
    similarity = np.empty(len(images), np.float32)
    for unit, rows in enumerate(images):
        vectors = scaled[rows].astype(np.float64)
        # The sum over all pairs, with those of an image and itself, is the square of
        # the sum.
        own = (vectors**2).sum()
        similarity[unit] = ((vectors.sum(axis=0) ** 2).sum() - own) / (k * (k - 1))
    return similarity
