"""The reference of Python: the directive `names`, and links from names in docstrings.

The directive lists public names of a module, first in a table of one line each if there
are several, then with their whole docstrings:

    .. names:: tfviz.objectives

       channel
       neuron

In docstrings, `channel` in single backticks is a link if there is such a public name,
as seen from the module of the docstring, and code if not.
"""

import inspect
import re
from importlib import import_module
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from listed_names import listed_names
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.util.docutils import SphinxDirective, SphinxRole, switch_source_input
from sphinx.util.nodes import make_refnode

# The sections that `tfviz.measures` adds to the docstrings of measures.
MEASURE_SECTIONS = ("Formula", "Range", "Better", "Source", "Bias")
# A reference that is only code if there is no such name.
SOFT = "name-or-code"


class Names(SphinxDirective):
    """List public names of a module."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return a table of the names, and their docstrings."""
        (module,) = self.arguments
        names = [line.strip() for line in self.content if line.strip()]
        lines = [f".. currentmodule:: {module}"]
        if len(names) > 1:
            lines += ["", ".. autosummary::", ""]
            lines += [f"   {name}" for name in names]
        for name in names:
            value = getattr(import_module(module), name)
            lines += ["", f".. auto{kind_of(value)}:: {module}.{name}"]
            if inspect.isclass(value):
                lines += ["   :members:", ""]
        source, line = self.get_source_info()
        text = StringList(lines, items=[(source, line)] * len(lines))
        holder = nodes.section()
        holder.document = self.state.document
        with switch_source_input(self.state, text):
            self.state.nested_parse(text, 0, holder)
        return holder.children


def kind_of(value: Any) -> str:
    """Return what autodoc calls this kind of object."""
    if inspect.isclass(value):
        return "exception" if issubclass(value, Exception) else "class"
    return "function" if callable(value) else "data"


class Name(SphinxRole):
    """Text in single backticks."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return a reference that `find_name` follows later."""
        code = nodes.literal(self.rawtext, self.text)
        if not re.fullmatch(r"[A-Za-z_][\w.]*", self.text):
            return [code], []
        context = self.env.ref_context
        reference = addnodes.pending_xref(
            self.rawtext,
            code,
            reftype=SOFT,
            reftarget=self.text,
            refdoc=self.env.docname,
            **{"py:module": context.get("py:module"), "py:class": None},
        )
        return [reference], []


def find_name(
    app: Sphinx, env: Any, node: addnodes.pending_xref, content: nodes.Element
) -> nodes.Node | None:
    """Return a link to a public name, where Sphinx has found none by itself.

    Type hints name classes by the private modules that define them, and docstrings
    leave out the module.
    """
    soft = node["reftype"] == SOFT
    if not soft and node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if soft:
        names = [target, f"{node.get('py:module')}.{target}", f"tfviz.{target}"]
    else:
        names = [app.tfviz_public_names.get(target, "")]
    for name in names:
        entry = env.domains.python_domain.objects.get(name)
        # `images` is an argument more often than the module.
        if entry is not None and (entry.objtype != "module" or name == target):
            page, anchor = entry.docname, entry.node_id
            return make_refnode(
                app.builder, node["refdoc"], page, anchor, content, name
            )
    return content if soft else None


def mark_up(app: Sphinx, *docstring: Any) -> None:
    """Mark up what docstrings, which are read as plain text, leave unmarked.

    An indented example below a paragraph becomes a block of code, and the sections that
    describe a measure become fields.
    """
    *_, lines = docstring
    new: list[str] = []
    section = paragraph = ""
    for line in lines:
        if line and not line[0].isspace():
            section = line.removesuffix(":")
            paragraph = "" if re.match(r"[*>]|\.\. ", line) else line
        elif line:
            if paragraph and not new[-1]:
                new += ["::", ""]
            paragraph = ""
        if section in MEASURE_SECTIONS:
            new.append(f":{section}:" if line == f"{section}:" else escaped(line))
        else:
            new.append(line)
    lines[:] = new


def shorten_types(app: Sphinx, *docstring: Any) -> None:
    """Show the types of attributes by their last names, as those of arguments are."""
    *_, lines = docstring
    for i, line in enumerate(lines):
        if line.startswith(":vartype "):
            lines[i] = re.sub(r"(?:\w+\.)+\w+", r"~\g<0>", line)


def shorten_functions(app: Sphinx, *described: Any) -> tuple[str, str] | None:
    """Show functions that are defaults by their names, such as `print`."""
    *_, signature, returned = described
    if signature is None:
        return None
    named = re.sub(r"<(?:built-in )?function (\w+)>", r"\1", signature)
    return re.sub(r"<function (\w+\.)*<lambda>>", "...", named), returned


def escaped(text: str) -> str:
    """Return a text without markup, such as a formula, for reStructuredText."""
    return re.sub(r"[*|_\\]", r"\\\g<0>", text)


def collect_public_names(app: Sphinx) -> None:
    """Note under which public name each class of a private module is documented."""
    names: dict[str, str] = {}
    for file in sorted((app.srcdir / "reference" / "api").glob("*.rst")):
        for module, listed in listed_names(file.read_text()).items():
            for name in listed:
                value = getattr(import_module(module), name)
                home = f"{value.__module__}.{value.__qualname__}"
                names[home] = f"{module}.{name}"
    app.tfviz_public_names = names


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive, the role and the links."""
    app.add_directive("names", Names)
    app.add_role("name", Name())
    app.connect("builder-inited", collect_public_names)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"  # instead of Variables
    # Before napoleon, which reads the docstring at 500.
    app.connect("autodoc-process-docstring", mark_up, priority=400)
    app.connect("autodoc-process-docstring", shorten_types, priority=600)
    app.connect("autodoc-process-signature", shorten_functions)
    app.connect("missing-reference", find_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
