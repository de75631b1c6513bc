"""Links from pages to what are no pages of the documentation.

In the Markdown, they are relative paths, which also work on GitHub. In the built site a
file of the repository is a link to the repository, and the atlas of SqueezeNet, a site
of its own, is copied beside the pages. Pictures of other sites, such as the button of
Colab in notebooks, become their texts, since the site loads nothing from elsewhere.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ATLAS = "atlas-squeezenet"


class RepositoryLinks(SphinxTransform):
    """Replace links to files by links to the repository or to the atlas."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        """Replace the links of one page."""
        docs = Path(self.env.srcdir)
        page = Path(self.env.doc2path(self.env.docname))
        for link in list(self.document.findall(addnodes.download_reference)):
            file = Path(os.path.normpath(page.parent / link["reftarget"]))
            if file.is_relative_to(docs / ATLAS):
                address = os.path.relpath(file, page.parent)
            else:
                path = file.relative_to(docs.parent).as_posix()
                address = f"{self.config.repository_links_base}/{path}"
            new = nodes.reference("", "", refuri=address, internal=False)
            new += [n for child in link.children for n in child.children]
            link.replace_self(new)


class NoRemotePictures(SphinxTransform):
    """Replace pictures of other sites by their texts."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        """Replace the pictures of one page."""
        for picture in list(self.document.findall(nodes.image)):
            if "://" in picture["uri"]:
                picture.replace_self(nodes.Text(picture.get("alt", picture["uri"])))


def copy_atlas(app: Sphinx, error: Exception | None) -> None:
    """Copy the atlas to where the links to it lead."""
    if error is None and app.builder.format == "html":
        source, copy = Path(app.srcdir) / ATLAS, Path(app.outdir) / ATLAS
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy)


def setup(app: Sphinx) -> dict[str, bool]:
    """Replace links and pictures, and copy the atlas at the end."""
    app.add_config_value("repository_links_base", "", "env", str)
    app.add_transform(RepositoryLinks)
    app.add_transform(NoRemotePictures)
    app.connect("build-finished", copy_atlas)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
