import pytest
from atlas_parts import PRIOR, colour_of, write_picture

from tfviz.site.pictures import DIVERSE, NEGATIVE, POSITIVE, parse_unit, read_pictures


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fire8:20", ("fire8", 20, False)),
        ("-fire8:20", ("fire8", 20, True)),
        ("-fire8:pre:20", ("fire8", 20, True)),
        ("a/b:c:3", ("a/b:c", 3, False)),
        ("logit:7", ("logit", 7, False)),
        ("-prob:7", ("logit", 7, True)),
        # Neither channels nor classes.
        ("fire8", None),
        ("fire8:20@3,4", None),
        ("fire8:random:7", None),
        ("fire8:20+fire9:3", None),
        ("(fire8:20)-(fire9:3)", None),
        ("fire8:\N{SUPERSCRIPT TWO}", None),
        ("fire8:9999999", None),
        (":3", None),
    ],
)
def test_units_are_read_without_the_network(text, expected):
    assert parse_unit(text) == expected


def test_paths_of_layers_come_first():
    paths = ["logit", "a:pre", "b+c", "d:random"]

    assert parse_unit("logit:3", paths) == ("logit", 3, False)
    assert parse_unit("a:pre:3", paths) == ("a:pre", 3, False)
    assert parse_unit("b+c:3", paths) == ("b+c", 3, False)
    assert parse_unit("d:random:3", paths) == ("d:random", 3, False)
    assert parse_unit("e:3", paths) is None
    # Classes have no place of their own beside a layer called `logit`.
    assert parse_unit("prob:3", paths) is None


def test_groups_methods_and_responses_come_from_the_files(tmp_path):
    write_picture(tmp_path / "a", "fire8:2", unit_score=3.0)
    write_picture(tmp_path / "a", "-fire8:pre:2", unit_score=1.5)
    write_picture(tmp_path / "b", "fire8:2", diversity={"n": 4, "weight": 2.0})
    write_picture(tmp_path / "b" / "c", "fire8:2", param=PRIOR)
    pictures, others = read_pictures([tmp_path / "b", tmp_path / "a"])

    found = {(p.group, p.method, p.is_learned, p.activation) for p in pictures}
    assert found == {
        (DIVERSE, "fourier", False, 2.5),
        (POSITIVE, "inverter", True, 2.5),
        (POSITIVE, "fourier", False, 3.0),
        (NEGATIVE, "fourier", False, -1.5),
    }
    assert others == []
    # The folders are in the order in which they were given.
    assert [p.file.parent.name for p in pictures[2:]] == ["a", "a"]
    assert {(p.layer, p.index, p.size) for p in pictures} == {("fire8", 2, (32, 32))}


def test_other_files_are_left_out(tmp_path):
    write_picture(tmp_path, "fire8:2", colour_of(1))
    other = write_picture(tmp_path, "fire8")
    (tmp_path / "manifest.jsonl").write_text("{}")
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "folder.png").mkdir()
    pictures, others = read_pictures([tmp_path])

    assert [p.spec["unit"] for p in pictures] == ["fire8:2"]
    assert others == [other]


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder .*tfviz render"):
        read_pictures([tmp_path / "no"])
    write_picture(tmp_path / "layers", "fire8")
    with pytest.raises(ValueError, match="layers' contains no pictures of channels"):
        read_pictures([tmp_path / "layers"])


def test_pictures_of_two_networks_are_refused(tmp_path):
    write_picture(tmp_path, "fire8:2")
    model = {"name": "other", "source": None, "hash": "another"}
    write_picture(tmp_path, "fire8:3", model=model)
    with pytest.raises(ValueError, match="An atlas shows one network"):
        read_pictures([tmp_path])
