"""The notebooks: their sources, the executed files beside them, and that they run."""

import ast
import re
import tomllib

import pytest
from support import ROOT, load_script

jupytext = pytest.importorskip("jupytext", reason="needs the extra `docs`")
nbformat = pytest.importorskip("nbformat", reason="needs the extra `docs`")
pytest.importorskip("nbclient", reason="needs the extra `docs`")

notebooks = load_script("notebooks")
SOURCES = sorted(notebooks.FOLDER.glob("*.py"))
NAMES = [path.stem for path in SOURCES]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
HOST = "https://github.com/"
# The beginnings of paths from the root of a machine, in code or in outputs.
ABSOLUTE = re.compile(r"""(?:["'\s(=]|\\n|//)/\w[\w.-]*/""")


@pytest.fixture(params=SOURCES, ids=NAMES)
def source(request):
    return request.param


def executed(source):
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def colab_link(name):
    """Return the address under which Colab opens a notebook of the repository."""
    assert REPOSITORY.startswith(HOST)
    project = REPOSITORY.removeprefix(HOST)
    place = f"{project}/blob/main/docs/notebooks/{name}.ipynb"
    return f"https://colab.research.google.com/github/{place}"


def test_there_are_seven_notebooks_and_each_was_run():
    assert len(NAMES) == 7
    assert sorted(path.stem for path in notebooks.FOLDER.glob("*.ipynb")) == NAMES


def test_the_executed_notebook_has_the_cells_of_its_source(source):
    """Otherwise: make notebooks NAME=..."""
    wanted, found = notebooks.read_source(source), executed(source)

    nbformat.validate(found)
    assert found.metadata == wanted.metadata
    assert [(c.id, c.cell_type, c.source) for c in found.cells] == [
        (c.id, c.cell_type, c.source) for c in wanted.cells
    ]


def test_all_cells_were_run_in_order_without_errors_and_noise(source):
    code = [cell for cell in executed(source).cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]

    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for o in outputs if o.output_type == "error"]
    assert not [o for o in outputs if o.get("name") == "stderr"]
    assert any("image/jpeg" in output.get("data", ()) for output in outputs)


def test_executed_notebooks_are_small_and_name_no_place_on_this_machine(source):
    text = source.with_suffix(".ipynb").read_text()

    assert len(text) <= notebooks.LARGEST
    for content in (text, source.read_text()):
        # Pictures begin with "/9j/.
        assert {*ABSOLUTE.findall(content)} <= {'"/9j/'}
        for beside in re.findall(r"\.\./([\w-]+)", content):
            docs = ROOT / "docs"
            assert (docs / beside).is_dir() or any(docs.glob(f"{beside}.*")), beside


def test_a_notebook_begins_with_its_title_and_the_button_for_colab(source):
    title, install, *_ = notebooks.read_source(source).cells

    assert re.match(r"# \w.*\n\n\[!\[Open in Colab\]", title.source)
    links = re.findall(r"\]\(([^\s()]+\.ipynb)\)", title.source)
    assert links == [colab_link(source.stem)]
    assert re.search(r"It runs in about \d.* on two processor cores", title.source)
    assert f'"tfviz[report] @ git+{REPOSITORY}"' in install.source
    assert ast.unparse(ast.parse(install.source).body[-1].test) == (
        "'google.colab' in sys.modules"
    )


def test_the_list_of_notebooks_has_all_of_them_with_their_titles():
    text = (notebooks.FOLDER / "index.md").read_text()

    for source in SOURCES:
        title = notebooks.read_source(source).cells[0].source.splitlines()[0][2:]
        assert f"[{title}]({source.stem}.ipynb)" in text
        assert f"]({colab_link(source.stem)})" in text
        assert f"\n{source.stem}\n" in text  # in the toctree


@pytest.mark.slow
def test_a_notebook_runs_from_top_to_bottom(source):
    notebooks.execute(source)
