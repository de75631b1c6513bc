import errno
import json
import time
import weakref

import numpy as np
import pytest
from PIL import Image

from tfviz import images
from tfviz.optimize.result import Result
from tfviz.images import file_names


@pytest.fixture
def result(rng):
    return Result(
        images=(rng.integers(0, 256, (3, 9, 12, 3)) / 255).astype(np.float32),
        scores=np.array([1.5, -2, 1e6], np.float32),
        unit_scores=np.array([1.5, -2, 1e6], np.float32),
        history=np.zeros((4, 3), np.float32),
        steps=np.array([4, 4, 4], np.int32),
        stopped=(None, "plateau", None),
        stuck=np.array([False, False, True]),
        names=("a/conv:3", "logit:goldfish", "-fire8:2"),
        spec={
            "tfviz": "0",
            "steps": 4,
            "pictures": [{"unit": u, "slot": i} for i, u in enumerate("xyz")],
        },
    )


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("format", ["png", "webp"])
class TestSaving:
    def test_a_folder_gets_a_file_each_without_loss(self, result, format, tmp_path):
        files = result.save(tmp_path / "new" / "out", format=format)

        assert [file.name for file in files] == [
            f"a.conv-3.{format}",
            f"logit-goldfish.{format}",
            f"neg-fire8-2.{format}",
        ]
        for file, picture in zip(files, result.images):
            np.testing.assert_array_equal(pixels(file), np.round(picture * 255))
        assert len(list((tmp_path / "new" / "out").iterdir())) == 3

    def test_each_file_has_a_description_of_its_picture(self, result, format, tmp_path):
        files = result.save(tmp_path, format=format)

        assert images.read_spec(files[1]) == {
            "tfviz": "0",
            "steps": 4,
            "unit": "y",
            "slot": 1,
            "name": "logit:goldfish",
            "score": -2.0,
            "unit_score": -2.0,
            "stuck": False,
            "steps_taken": 4,
            "stopped": "plateau",
        }

    def test_a_file_gets_a_sheet_of_several(self, result, format, tmp_path):
        (file,) = result.save(tmp_path / f"sheet.{format}")

        with Image.open(file) as image:
            assert image.size == result.sheet().size
        assert images.read_spec(file)["pictures"][2] == {"unit": "z", "slot": 2}
        assert images.read_spec(file)["names"] == list(result.names)

    def test_the_same_result_gives_the_same_bytes(self, result, format, tmp_path):
        first, second = (result.save(tmp_path / d, format=format) for d in "ab")

        assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]


def test_other_formats_are_refused(result, tmp_path):
    with pytest.raises(ValueError, match=r"must end in .png or .webp"):
        result.save(tmp_path / "out", format="jpg")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("channels", "shape"), [(1, (9, 12)), (4, (9, 48))])
def test_other_numbers_of_channels_are_shown_in_grey(channels, shape, rng):
    picture = rng.integers(0, 256, (9, 12, channels)).astype(np.uint8)
    shown = np.asarray(images.to_pil(picture))

    assert shown.shape == shape
    np.testing.assert_array_equal(shown[:, :12], picture[..., 0])
    np.testing.assert_array_equal(shown[:, -12:], picture[..., -1])


def test_bytes_round_and_clip():
    picture = np.array([[[-0.5, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 3.0]]])

    assert images.to_bytes(picture).tolist() == [[[0, 0, 0, 1, 255, 255]]]


def test_sheet_shows_every_picture_in_its_place(result):
    sheet = np.asarray(result.sheet(columns=2))
    height, width = 9 + 18 + 8, 12 + 8

    assert sheet.shape == (2 * height + 8, 2 * width + 8, 3)
    for place, picture in enumerate(result.images):
        top, left = 8 + place // 2 * height, 8 + place % 2 * width
        np.testing.assert_array_equal(
            sheet[top : top + 9, left : left + 12], np.round(picture * 255)
        )


def test_a_sheet_takes_pictures_one_by_one(rng):
    """Thousands of pictures need not be in the memory at once."""
    pictures = rng.random((5, 4, 6, 3))
    alive = []

    def one_by_one():
        for picture in pictures:
            copy = picture.copy()
            alive.append(weakref.ref(copy))
            assert sum(reference() is not None for reference in alive) <= 2
            yield copy

    lazy = images.sheet(one_by_one(), [f"{i}" for i in range(5)])

    assert len(alive) == 5
    np.testing.assert_array_equal(
        np.asarray(lazy), np.asarray(images.sheet(pictures, list("01234")))
    )
    with pytest.raises(ValueError, match="argument 2 is longer"):
        images.sheet(pictures, ["one too many"] * 6)


def test_notebooks_show_pictures_names_and_scores(result):
    html = result._repr_html_()

    assert html.count("data:image/png;base64,") == 3
    assert "logit:goldfish" in html
    assert "-2" in html


class TestWritingSafely:
    def test_a_failed_write_leaves_what_was_there(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"before")

        def fail(file):
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(OSError, match="No space left"):
            images.write_safely(path, fail)
        assert path.read_bytes() == b"before"
        assert list(tmp_path.iterdir()) == [path]

    def test_the_file_can_be_read_by_others_as_usual(self, tmp_path):
        (tmp_path / "plain").write_bytes(b"")
        images.write_safely(tmp_path / "safe", lambda file: file.write(b"x"))

        assert (tmp_path / "safe").stat().st_mode == (tmp_path / "plain").stat().st_mode


class TestReading:
    def test_files_that_are_no_images_are_refused(self, tmp_path):
        (tmp_path / "x.png").write_bytes(b"not a picture")
        for read in (images.read, images.read_spec):
            with pytest.raises(ValueError, match="x.png' cannot be read as an image"):
                read(tmp_path / "x.png")

    def test_pictures_of_other_programs_have_no_description(self, tmp_path):
        for name in ("x.png", "x.webp", "x.jpg"):
            Image.new("RGB", (4, 4)).save(tmp_path / name)
            assert images.read_spec(tmp_path / name) is None
        for text in ("2021", "a holiday", '"unit"', '{"unit": 3}'):
            exif = Image.Exif()
            exif[0x010E] = text
            Image.new("RGB", (4, 4)).save(tmp_path / "x.webp", exif=exif)
            assert images.read_spec(tmp_path / "x.webp") is None

    def test_damage_anywhere_in_a_png_is_found(self, tmp_path, rng):
        """Pillow opens such a file, and decodes most of them to another picture."""
        file = tmp_path / "x.png"
        noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3)).astype(np.uint8))
        images.save(noise, file, {"tfviz": "1", "unit": "é"})
        whole = file.read_bytes()
        assert images.read_spec(file) == {"tfviz": "1", "unit": "é"}

        for place in range(8, len(whole), 7):
            changed = bytearray(whole)
            changed[place] ^= 4
            file.write_bytes(changed)
            with pytest.raises(ValueError, match="cannot be read as an image"):
                images.read_spec(file)
        for length in range(0, len(whole), 11):
            file.write_bytes(whole[:length])
            with pytest.raises(ValueError, match="cannot be read as an image"):
                images.read_spec(file)

    def test_a_webp_file_that_is_cut_off_is_found(self, tmp_path, rng):
        file = tmp_path / "x.webp"
        noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3)).astype(np.uint8))
        images.save(noise, file, {"tfviz": "1"})
        whole = file.read_bytes()
        assert images.read_spec(file) == {"tfviz": "1"}

        for length in range(0, len(whole), 11):
            file.write_bytes(whole[:length])
            with pytest.raises(ValueError, match="cannot be read as an image"):
                images.read_spec(file)

    def test_the_description_of_a_png_is_what_pillow_reads(self, tmp_path):
        spec = {"tfviz": "1", "unit": "fire8:20", "name": 'Grüße, \\ and " \n'}
        images.save(Image.new("RGB", (40, 30)), tmp_path / "x.png", spec)

        with Image.open(tmp_path / "x.png") as image:
            assert json.loads(image.text["tfviz"]) == spec
        assert images.read_spec(tmp_path / "x.png") == spec

    def test_images_are_read_as_rgb_in_the_unit_range(self, tmp_path):
        Image.new("L", (3, 2), 51).save(tmp_path / "grey.png")
        picture = images.read(tmp_path / "grey.png")

        assert picture.shape == (2, 3, 3)
        np.testing.assert_allclose(picture, 0.2)

    def test_grey_of_16_bits_keeps_its_range(self, tmp_path):
        """Guards against Pillow's clipping to 255, which makes most pixels white."""
        values = np.array([[0, 13107], [32768, 65535]], np.uint16)
        Image.fromarray(values).save(tmp_path / "deep.png")

        picture = images.read(tmp_path / "deep.png")

        expected = np.repeat(values[..., None] / 65535, 3, axis=-1)
        np.testing.assert_allclose(picture, expected, atol=0.5 / 255)

    def test_values_of_unknown_range_are_refused(self, tmp_path):
        Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "x.tiff")

        with pytest.raises(ValueError, match="unknown range .mode F.. Save it with 8"):
            images.read(tmp_path / "x.tiff")

    def test_a_decompression_bomb_is_named(self, tmp_path, monkeypatch):
        Image.new("L", (30, 30)).save(tmp_path / "x.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)

        with pytest.raises(ValueError, match="x.png' has too many pixels to be read"):
            images.read(tmp_path / "x.png")


class TestCentreCrop:
    def test_the_middle_of_the_longer_side_is_cropped(self):
        picture = np.zeros((10, 30, 1), np.float32)
        picture[:, 10:20] = 1

        np.testing.assert_array_equal(images.centre_crop(picture, (10, 10)), 1)

    def test_a_larger_size_is_covered(self):
        picture = np.full((5, 9, 3), 0.5, np.float32)

        np.testing.assert_allclose(images.centre_crop(picture, (12, 20)), 0.5)
        assert images.centre_crop(picture, (12, 20)).shape == (12, 20, 3)

    @pytest.mark.parametrize("shape", [(2, 600), (701, 3), (5, 1200)])
    def test_a_strip_has_the_middle_of_the_whole_strip(self, rng, shape):
        picture = rng.random((*shape, 2), np.float32)
        height, width = (round(length * 16 / min(shape)) for length in shape)
        whole = np.stack(
            [
                np.asarray(Image.fromarray(plane).resize((width, height), 2))
                for plane in np.moveaxis(picture, -1, 0)
            ],
            axis=-1,
        )
        top, left = (height - 16) // 2, (width - 16) // 2

        found = images.centre_crop(picture, (16, 16))
        expected = whole[top : top + 16, left : left + 16]
        np.testing.assert_allclose(found, expected, atol=0.02)

    def test_a_strip_is_not_scaled_as_a_whole(self):
        """As a whole, it would have ten thousand million pixels."""
        picture = np.zeros((1, 200_000, 3), np.float32)
        picture[:, 100_000:] = 1
        found = images.centre_crop(picture, (224, 224))

        # Between the middles of the two pixels, the values are interpolated.
        expected = np.broadcast_to((np.arange(224) + 0.5) / 224, (3, 224, 224)).T
        np.testing.assert_allclose(found, expected.swapaxes(0, 1), atol=1e-4)


def test_thousands_of_equal_names_are_numbered_at_once():
    began = time.process_time()
    unique = file_names(("fire8:20", "x") * 20_000)

    assert unique[:6] == ["fire8-20", "x", "fire8-20_2", "x_2", "fire8-20_3", "x_3"]
    assert unique[-1] == "x_20000"
    assert len(set(unique)) == 40_000
    assert time.process_time() - began < 5  # counting from 1 each time takes minutes


def test_file_names_are_never_equal_and_always_allowed():
    names = ("a/b:1", "a.b:1", "A.B:1", "x y:1", "x_y:1", "..", "con:é", "l" * 400)
    unique = file_names(names)

    assert len({name.casefold() for name in unique}) == len(names)
    assert all(len(name.encode()) < 240 for name in unique)
    assert not any(set(name) & set('/\\:*?"<>|') for name in unique)
    assert not any(name.startswith(".") for name in unique)
