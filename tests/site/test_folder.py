import json

import pytest
from support import names

from tfviz.site.folder import RECORD, SOURCE, SiteFolder, check_folder


def build(path, files):
    """Write files, and return which of them were made."""
    made = []

    def make(name, text):
        made.append(name)
        return text.encode()

    with SiteFolder(path) as folder:
        for name, (inputs, text) in files.items():
            folder.write(name, inputs, lambda name=name, text=text: make(name, text))
    assert (folder.written, folder.kept) == (len(made), len(files) - len(made))
    return made


FILES = {"a.txt": ([1], "one"), "b/c.txt": ([2], "two"), "b/d.txt": ([3], "three")}


def test_only_files_whose_inputs_changed_are_made(tmp_path):
    assert build(tmp_path / "site", FILES) == list(FILES)
    assert build(tmp_path / "site", FILES) == []
    changed = FILES | {"b/c.txt": ([4], "four")}
    assert build(tmp_path / "site", changed) == ["b/c.txt"]
    assert (tmp_path / "site/b/c.txt").read_text() == "four"
    (tmp_path / "site/a.txt").unlink()
    assert build(tmp_path / "site", changed) == ["a.txt"]


def test_files_that_are_no_longer_wanted_are_deleted(tmp_path):
    site = tmp_path / "site"
    build(site, FILES)
    (site / "b/own.txt").write_text("not ours")
    build(site, {"a.txt": FILES["a.txt"]})

    assert names(site) == [RECORD, "a.txt", "b"]
    assert names(site / "b") == ["own.txt"]
    (site / "b/own.txt").unlink()
    build(site, FILES)
    build(site, {"a.txt": FILES["a.txt"]})
    assert names(site) == [RECORD, "a.txt"]


def test_an_interrupted_build_goes_on(tmp_path):
    site = tmp_path / "site"
    build(site, {"old.txt": ([0], "zero")})

    def begin():
        with SiteFolder(site) as folder:
            folder.write("a.txt", [1], lambda: b"one")
            folder.write("b/c.txt", [2], lambda: b"two")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()
    # What an earlier build wrote stays until the new one is complete.
    assert names(site) == [RECORD, "a.txt", "b", "old.txt"]
    (site / "b/.tfviz-x.part").write_bytes(b"half")  # of a build that was killed
    assert build(site, FILES) == ["b/d.txt"]
    assert names(site) == [RECORD, "a.txt", "b"]
    assert names(site / "b") == ["c.txt", "d.txt"]


def test_partial_files_of_other_runs_are_left_alone(tmp_path):
    """`tfviz render -o site/source/NAME` may be writing while a site is built."""
    build(tmp_path, {"a.txt": ([1], "one")})
    (tmp_path / SOURCE / "diverse").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / SOURCE, tmp_path / SOURCE / "diverse"):
        (folder / ".tfviz-x.part").write_bytes(b"half")
    build(tmp_path, FILES)

    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.part")]
    assert left == ["source/diverse/.tfviz-x.part"]


def test_a_killed_first_build_goes_on(tmp_path):
    """The record is written before the first file."""
    folder = SiteFolder(tmp_path / "site")
    folder.__enter__()
    folder.write("a.txt", [1], lambda: b"one")
    check_folder(tmp_path / "site")


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty and holds no atlas. Choose an em"):
        SiteFolder(tmp_path)
    with pytest.raises(NotADirectoryError, match="is a file"):
        check_folder(tmp_path / "notes.txt")
    (tmp_path / "empty").mkdir()
    check_folder(tmp_path / "empty")


def test_what_a_recipe_leaves_before_the_first_build_is_no_obstacle(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / ".tfviz.lock").touch()
    check_folder(tmp_path)
    (source / "mine.py").touch()
    with pytest.raises(ValueError, match="not empty and holds no atlas"):
        check_folder(tmp_path)
    (source / "network.json").touch()
    check_folder(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 3}', "{}"])
def test_a_damaged_record_is_refused(tmp_path, text):
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(ValueError, match="cut off or was changed. Delete everything"):
        check_folder(tmp_path)


def test_a_record_cannot_delete_files_outside(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    site = tmp_path / "site"
    build(site, FILES)
    record = json.loads((site / RECORD).read_text())
    record["files"]["../mine.txt"] = "0"
    (site / RECORD).write_text(json.dumps(record))
    build(site, FILES)

    assert (tmp_path / "mine.txt").read_text() == "mine"
