"""Paths with a scheme, on the file systems that TensorFlow has without a network."""

import errno
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfviz import images
from tfviz._files import delete_partials, is_partial, write_safely
from tfviz._storage import RemotePath, append, as_path


@pytest.fixture(params=["file", "ram"])
def folder(request, tmp_path):
    """An empty folder whose path has a scheme."""
    path = as_path(f"{request.param}://{tmp_path}/folder")
    path.mkdir(parents=True, exist_ok=True)
    return path


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_only_texts_with_a_scheme_are_remote():
    assert as_path("out/x") == Path("out/x")
    assert as_path(Path("out")) == Path("out")
    assert as_path("C:/x") == Path("C:/x")
    assert as_path("gs://bucket/x") == RemotePath("gs://bucket/x")
    assert as_path(as_path("gs://bucket/x")) == RemotePath("gs://bucket/x/")
    with pytest.raises(ValueError, match="'out' has no scheme"):
        RemotePath("out")


def test_parts_are_those_of_pathlib():
    path = RemotePath("gs://bucket/out/fire8-20.png")
    local = Path("/bucket/out/fire8-20.png")

    assert (path.name, path.stem, path.suffix) == (local.name, local.stem, local.suffix)
    assert str(path.with_suffix(".webp")) == "gs://bucket/out/fire8-20.webp"
    assert path.parent / "fire8-20.png" == path
    assert str(RemotePath("file:///tmp/x") / "y") == "file:///tmp/x/y"
    assert sorted([path, path.parent]) == [path.parent, path]


def test_files_are_written_whole_or_not_at_all(folder):
    path = folder / "file"
    write_safely(path, lambda file: file.write(b"before"))
    write_safely(path, lambda file: file.write(b"after"))

    assert path.read_bytes() == b"after"

    def fail(file):
        file.write(b"half")
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        write_safely(path, fail)
    assert path.read_bytes() == b"after"
    assert names(folder) == ["file"]


def test_a_write_that_fails_leaves_no_temporary_file(folder, monkeypatch):
    def full(*arguments, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "no room")

    monkeypatch.setattr(tf.io.gfile, "rename", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_safely(folder / "file", lambda file: file.write(b"x"))

    assert caught.value.errno == errno.ENOSPC
    assert names(folder) == []


def test_what_a_killed_run_leaves_is_recognized(folder, monkeypatch):
    kept = []
    monkeypatch.setattr(tf.io.gfile, "rename", lambda a, b, overwrite: kept.append(a))
    write_safely(folder / "file", lambda file: file.write(b"x"))

    (left,) = folder.iterdir()
    assert str(left) == kept[0]
    assert is_partial(left)
    left.unlink()
    assert names(folder) == []


def test_what_is_left_of_one_file_is_deleted_alone(tmp_path, monkeypatch):
    for name in ("e.npz", "e.npz.partial"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", lambda *_: None)
            write_safely(tmp_path / name, lambda file: file.write(b"x"))
    both = set(names(tmp_path))
    delete_partials(tmp_path / "e.npz")

    assert len(both) == 2
    (left,) = names(tmp_path)
    assert left in both
    delete_partials(tmp_path / "e.npz.partial")
    assert names(tmp_path) == []


def test_text_is_appended(folder):
    append(folder / "log", b"one\n")
    append(folder / "log", b"two\n")

    assert (folder / "log").read_text("utf-8") == "one\ntwo\n"


def test_errors_are_those_of_ordinary_files(folder):
    with pytest.raises(FileNotFoundError, match="No such file"):
        (folder / "none").read_bytes()
    with pytest.raises(FileNotFoundError):
        (folder / "none").unlink()
    (folder / "none").unlink(missing_ok=True)
    assert not (folder / "none").exists()
    assert folder.exists()


def test_pictures_are_saved_and_read_like_local_ones(folder, tmp_path, rng):
    picture = Image.fromarray(rng.integers(0, 256, (9, 12, 3)).astype(np.uint8))
    spec = {"tfviz": "1", "unit": "fire8:20"}
    for name in ("x.png", "x.webp"):
        images.save(picture, folder / name, spec)
        images.save(picture, tmp_path / name, spec)

        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()
        assert images.read_spec(folder / name) == spec
        np.testing.assert_array_equal(
            images.read(str(folder / name)), np.asarray(picture, np.float32) / 255
        )
