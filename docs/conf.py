"""How Sphinx builds the site; `build.py` prepares what it reads and runs it."""

import re
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from PIL import Image
from sphinx.ext import autosummary

import formulas
import sbgm
from sbgm import guard
from sbgm.samplers import State

project = "sbgm"
copyright = "the sbgm authors; text and figures CC BY 4.0, code MIT"
language = "en-GB"
extensions = [
    "myst_nb", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx.ext.mathjax",
    "sphinx.ext.githubpages", "sphinx-mathjax-offline", "sphinx_copybutton",
]  # fmt: skip
templates_path = [str(Path(__file__).parent / "_templates")]

# The chapters: outputs are the committed ones, anchors go down to the third heading.
nb_execution_mode = "off"
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 3

# The reference: docstrings are Google style, with names in single backticks.
default_role = "py:obj"
autosummary.WELL_KNOWN_ABBREVIATIONS += ("Fig.", "Eq.")  # which end no sentence: a row of the index is a whole one
autosummary_context = {"exported": dir(sbgm)}
autodoc_member_order = "bysource"
annotated = [name for name, kind in vars(guard).items() if hasattr(kind, "__metadata__")]
autodoc_type_aliases = {name: name for name in (*annotated, "Start", "Sampler")}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Copied are code and examples without their prompts; not what a cell printed.
copybutton_selector = "div:not(.output) > div.highlight > pre"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

mathjax_path = "mathjax/tex-chtml.js"  # a copy in the site, by sphinx-mathjax-offline
html_theme = "furo"
html_title = "sbgm"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css", "playground/playground.css"]
scripts = ("site", "playground/noise", "playground/score", "playground/draw", "playground/playground")
html_js_files = [(f"{name}.js", {"defer": "defer"}) for name in scripts]  # no modules, which file: pages have not
html_copy_source = False
html_domain_indices = html_use_index = False
html_show_search_summary = False  # it fetches pages, which a browser refuses where the site is opened as a file
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f3b73", "color-brand-content": "#2a5db0"},
    "dark_css_variables": {"color-brand-primary": "#9db1d6", "color-brand-content": "#8fb4ff"},
}

TUPLE_FIELD = type(State.sigma)
EQUATIONS = formulas.equations()
ANNOTATED = re.compile(r"~?[\w.]*Annotated\[(.+?), [^\]]*<function [^\]]*\]")
LITERAL = re.compile(r"(``.+?``|`.+?`)")


def escape_markup(app, what, name, obj, options, lines):
    """Let formulas in docstrings, such as "x* = σ_1|v|", through as they are, and examples whole."""
    is_example = False
    for index, line in enumerate(lines):
        is_example = bool(line.strip()) and (is_example or line.lstrip().startswith(">>>"))
        if is_example:
            continue
        bullet, words = re.fullmatch(r"(\s*\* )?(.*)", line).groups()
        parts = LITERAL.split(words)
        parts[::2] = [re.sub(r"([*|]|_(?!\w))", r"\\\1", part) for part in parts[::2]]
        lines[index] = (bullet or "") + "".join(parts)


def add_equations(app, what, name, obj, options, lines):
    """Put the typeset formula after the first paragraph of a docstring, once napoleon has read it."""
    shown = []
    for label, tex in EQUATIONS.get(name, ()):
        shown += ["", f"{label}:", "", ".. math::", "", *(f"   {line}" for line in tex.strip().splitlines()), ""]
    end = next((index for index, line in enumerate(lines) if not line.strip()), len(lines))
    lines[end:end] = shown


def plain_signature(app, what, name, obj, options, signature, returns):
    """Leave out what looks at an argument: `Annotated[int, <function …>]`, which has no name, is shown as an int."""
    return tuple(text and ANNOTATED.sub(r"\1", text) for text in (signature, returns))


def skip_member(app, what, name, obj, skip, options):
    """Leave out the fields of named tuples, which their class describes."""
    return True if isinstance(obj, TUPLE_FIELD) else None


def describe_pictures(app, doctree):
    """Mark captions, films, and figures that are drawn on white: site.css and site.js do the rest."""
    for picture in doctree.findall(nodes.image):
        file = Path(app.srcdir) / picture["uri"].lstrip("/")
        if file.suffix == ".png":
            picture["classes"] += kinds_of(file)
        holder = picture.parent
        while holder.parent is not None and not isinstance(holder.parent, (nodes.section, nodes.document)):
            holder = holder.parent
        caption = holder.next_node(descend=False, siblings=True)
        if isinstance(caption, nodes.paragraph) and all(isinstance(caption[end], nodes.emphasis) for end in (0, -1)):
            caption["classes"] = ["figure-caption"]


def kinds_of(file):
    """The classes of a picture: "film" if it moves, "drawn" if it is lines and points on white."""
    with Image.open(file) as picture:
        kinds = ["film"] if getattr(picture, "is_animated", False) else []
        shades = picture.convert("L").histogram()
    n_pixels = sum(shades)
    is_drawn = sum(shades[180:]) > 0.8 * n_pixels and sum(shades[:40]) < 0.025 * n_pixels
    return kinds + (["drawn"] if is_drawn else [])


def name_answers(app, doctree, docname):
    """Let the fold of an output ask for the guess, and hold the caption of what it shows.

    The setting of MyST-NB names code and outputs alike.
    """
    for fold in doctree.findall(HideCodeCellNode):
        if "above-input" not in fold["classes"]:
            fold["prompt_show"] = "You guessed? Show it"
            fold["prompt_hide"] = "Hide it"
            caption = fold.parent.next_node(descend=False, siblings=True)
            if isinstance(caption, nodes.paragraph) and "figure-caption" in caption["classes"]:
                caption.parent.remove(caption)
                fold += caption


def setup(app):
    """Connect the above: napoleon's own handler has the priority 500."""
    app.connect("autodoc-process-docstring", escape_markup, priority=400)
    app.connect("autodoc-process-docstring", add_equations, priority=600)
    app.connect("autodoc-process-signature", plain_signature)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("doctree-read", describe_pictures)
    app.connect("doctree-resolved", name_answers)
