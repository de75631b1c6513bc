import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tfviz  # noqa: F401 (first: TensorFlow must not be imported before it)
from PIL import Image
from tfviz.priors.training import photos as _photos
from tfviz.priors.training.photos import (
    centre_squares,
    find_photos,
    read_squares,
    unpacked,
)

COUNT = 13


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(_photos, "FEWEST", 4)


@pytest.fixture
def greys(tmp_path):
    """Uniform pictures, each with another grey value: 0, 10, 20 ..."""
    folder = tmp_path / "greys"
    (folder / "more").mkdir(parents=True)
    for number in range(COUNT):
        place = folder / "more" if number > 9 else folder
        picture = np.full((9, 12, 3), 10 * number, np.uint8)
        Image.fromarray(picture).save(place / f"{number:02}.png")
    return folder


@pytest.fixture
def ramp(tmp_path):
    """A picture that gets redder to the right and greener to the bottom."""
    rows, columns = np.mgrid[:48, :64]
    picture = np.stack([4 * columns, 5 * rows, 0 * rows], axis=-1).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "ramp.png")
    return str(tmp_path / "ramp.png")


class TestSquares:
    def test_the_central_square_is_returned(self, ramp):
        (square,) = centre_squares([ramp], 6)

        places = 8 * np.arange(1, 5)  # the outer pixels are not exact averages
        red, green = square[0, 1:-1, 0] * 63.75, square[1:-1, 0, 1] * 51
        np.testing.assert_allclose(red, 11.5 + places, atol=0.01)
        np.testing.assert_allclose(green, 3.5 + places, atol=0.01)

    def test_squares_of_8_bits_are_the_nearest(self, ramp, greys):
        files = [ramp, *map(str, sorted(greys.glob("*.png")))]
        expected = np.round(centre_squares(files, 6) * 255).astype(np.uint8)

        np.testing.assert_array_equal(read_squares(files, 6), expected)


class TestFolder:
    def test_held_out_photos_are_spread_and_never_learned_from(self, greys):
        photos = find_photos({"greys": greys}, 4)

        assert not set(photos.train) & set(photos.held_out)
        assert len(photos.train) == COUNT - 4
        names = sorted(str(file) for file in greys.rglob("*.png"))
        assert sorted([*photos.train, *photos.held_out]) == names
        assert photos.held_out == tuple(names[place] for place in (0, 4, 8, 12))

    def test_photos_to_leave_out_are_in_neither_part(self, greys):
        photos = find_photos({"greys": greys}, 4, without=["03.png", "more/10.png"])

        left = {Path(file).name for file in (*photos.train, *photos.held_out)}
        assert left == {f"{n:02}.png" for n in range(COUNT)} - {"03.png", "10.png"}
        assert photos.counts == {"greys": COUNT - 2}
        with pytest.raises(
            ValueError, match=r"1 of the 3 images .* in greys, and 2 are not: 10.png, x"
        ):
            find_photos({"greys": greys}, 4, without=["03.png", "x", "10.png"])

    def test_sources_are_listed_one_after_the_other(self, greys, tmp_path):
        """A zip file counts as a folder, and WebP is read."""
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            for number in range(3):
                content = io.BytesIO()
                Image.new("RGB", (8, 8), (250, 0, 0)).save(content, "webp")
                archive.writestr(f"x/{number}.WEBP", content.getvalue())
            archive.writestr("x/notes.txt", "no image")
        list_file = tmp_path / "list.json"
        with unpacked([greys, tmp_path / "b.zip"]) as folders:
            photos = find_photos(folders, 2, list_file=list_file)
            assert photos.held_out == (
                str(greys / "00.png"),
                str(folders["b.zip"] / "x" / "2.WEBP"),
            )
            (square,) = centre_squares(photos.held_out[1:], 4)
            np.testing.assert_allclose(square.mean((0, 1)), [0.98, 0, 0], atol=0.02)
        assert not folders["b.zip"].exists()
        listed = list(json.loads(list_file.read_text()))
        assert (listed[0], listed[-1]) == ("greys/00.png", "b.zip/x/2.WEBP")
        assert photos.counts == {"greys": COUNT, "b.zip": 3}

    def test_sources_of_one_name_or_another_kind_are_refused(self, greys, tmp_path):
        (tmp_path / "other" / "greys").mkdir(parents=True)
        (tmp_path / "notes.txt").write_text("no zip")
        with (
            pytest.raises(ValueError, match="must not have the same name"),
            unpacked([greys, tmp_path / "other" / "greys"]),
        ):
            pass
        with (
            pytest.raises(
                ValueError, match=r"notes\.txt' is neither a folder nor a zip"
            ),
            unpacked([tmp_path / "notes.txt"]),
        ):
            pass

    def test_photos_named_by_classes_of_imagenet_are_recognized(self, greys):
        assert find_photos({"greys": greys}, 4).data == ()
        (greys / "00.png").rename(greys / "n99999999_0.png")  # no class of ImageNet
        assert find_photos({"greys": greys}, 4).data == ()
        (greys / "more").rename(greys / "n01443537")
        assert find_photos({"greys": greys}, 4).data == ("ImageNet",)

    def test_unreadable_files_are_counted_and_named(self, greys):
        for number in range(7):
            (greys / f"broken-{number}.jpg").write_bytes(b"no image")
        whole = (greys / "00.png").read_bytes()
        (greys / "cut.png").write_bytes(whole[: len(whole) // 2])
        Image.new("RGB", (4, 4)).save(greys / "other.tiff")
        (greys / "other.tiff").rename(greys / "a.png")  # Pillow would read it
        (greys / "notes.txt").write_text("no image")

        with pytest.raises(ValueError, match=r"9 of the 22 images .* a\.png, broken-0"):
            find_photos({"greys": greys}, 2)
        with pytest.raises(ValueError, match=r"broken-3\.jpg and 4 more\. Repair or"):
            find_photos({"greys": greys}, 2)

    def test_too_few_photos_are_refused(self, greys):
        with pytest.raises(ValueError, match=r"13 images .* 4 to learn from and 10 to"):
            find_photos({"greys": greys}, 10)
        with pytest.raises(ValueError, match=r"13 images .* 12 to learn from and 2 to"):
            find_photos({"greys": greys}, 2, fewest=12)

    def test_the_list_is_stored(self, greys, tmp_path, monkeypatch):
        list_file = tmp_path / "list.json"
        photos = find_photos({"greys": greys}, 2, list_file=list_file)
        assert json.loads(list_file.read_text())["more/10.png"] > 0
        # The second call does not read the photos.
        monkeypatch.setattr(_photos, "_is_readable", lambda file: False)

        assert find_photos({"greys": greys}, 2, list_file=list_file) == photos

    def test_a_folder_that_changed_is_refused(self, greys, tmp_path):
        list_file = tmp_path / "list.json"
        find_photos({"greys": greys}, 2, list_file=list_file)
        (greys / "03.png").unlink()
        (greys / "more" / "new.png").write_bytes((greys / "04.png").read_bytes())
        Image.new("RGB", (50, 50), "red").save(greys / "05.png")

        message = r"1 are new \(more/new.png\), 1 are gone \(03.png\), 1 are changed"
        with pytest.raises(ValueError, match=message):
            find_photos({"greys": greys}, 2, list_file=list_file)

    def test_samples_of_a_training_are_no_photos(self, greys):
        """Its folder may be inside that of the photos, and it resumes there."""
        folder = greys / "trained"
        folder.mkdir()
        before = find_photos({"greys": greys}, 2, list_file=folder / "list.json")
        Image.new("RGB", (50, 50)).save(folder / "samples.png")

        assert (
            find_photos({"greys": greys}, 2, list_file=folder / "list.json") == before
        )

    def test_no_list_is_written_for_a_refused_folder(self, greys, tmp_path):
        (greys / "broken.png").write_bytes(b"")

        with pytest.raises(ValueError, match="1 of the 14 images"):
            find_photos({"greys": greys}, 2, list_file=tmp_path / "list.json")
        assert not (tmp_path / "list.json").exists()
