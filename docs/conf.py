"""Sphinx: pages from Markdown, the reference from docstrings. `make docs` builds both."""

import inspect
import re

project = "qsnn"
html_title = "Q-SNN on FPGAs"
html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["page.css"]
highlight_language = "none"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode"]
templates_path = ["templates"]
exclude_patterns = ["static", "templates"]

# simulators need not be here: only their names are wanted
autodoc_mock_imports = ["cocotb", "cocotb_tools"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_default_options = {"no-value": True}
autodoc_preserve_defaults = True
autodoc_typehints = "none"

# code of Amaranth in docstrings is marked as Amaranth's own docstrings mark it
rst_prolog = """
.. role:: py(code)
   :language: python
"""

COLUMN = re.compile(r"[\w*][\w*, ]*?  +(?=\S)")
ENTRY = re.compile(r"[\w*, ]+ : ")


def two_columns(app, what, name, thing, options, lines):
    """Names and, in a second column, what they mean: a list of definitions.

    It ends with an empty line, or with a sentence: no small word ends before the column there.
    """
    text, column = [], 0
    for line in lines:
        match = COLUMN.match(line)
        if match and (column or not text or not text[-1]):
            column = match.end()
        elif column and not re.fullmatch(r"([a-z_]\w*)?\s*", line[:column]):
            text.append("")
            column = 0
        elif not line.strip():
            column = 0
        head, tail = line[:column].strip(), line[column:]
        if head:
            text.append(head.replace("*", r"\*"))
        text.append(f"    {tail or '..'}" if column else line)
    lines[:] = text


def sections(app, what, name, thing, options, lines):
    """Headlines as NumPy's, and below them ``name : type`` with or without a text."""
    text = []
    for line, following in zip(lines, [*lines, ""][1:], strict=True):
        if re.fullmatch("-{3,}", following):
            text += [f".. rubric:: {line}"]
        elif re.fullmatch("-{3,}", line):
            text += [""]
        else:
            text += [line]
        if ENTRY.match(line) and not following.startswith(" "):
            text += ["    .."]
    lines[:] = text


def own_arguments(app, what, name, thing, options, signature, returns):
    """Of a component, not those of Amaranth's metaclass."""
    if what == "class" and "src_loc_at" in (signature or ""):
        given = [argument.replace(annotation=argument.empty)
                 for argument in inspect.signature(thing.__init__).parameters.values()]
        return str(inspect.Signature(given[1:])), returns


def links(app, *where):
    """Links to modules, and between docs/ and the files beside it, lead to pages."""
    def page_of(match):
        path = match[1].removeprefix("../").removeprefix("docs/")
        if path.endswith(".py"):
            path = f"api/qsnn.{path[:-3].replace('/', '.')}.rst"
        elif path.endswith(".md"):
            path = path.lower()
        elif path == "LICENSE":
            path = "../LICENSE"
        return f"]({path})"

    text = where[-1]
    text[:] = [re.sub(r"\]\(([^:#)]+)\)", page_of, part) for part in text]


def setup(app):
    app.connect("autodoc-process-docstring", two_columns)
    app.connect("autodoc-process-docstring", sections)
    app.connect("autodoc-process-signature", own_arguments)
    app.connect("include-read", links)
    app.connect("source-read", links)
