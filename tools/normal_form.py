"""The one form in which a notebook is committed, and the faults that keep a notebook from it.

`normalised` makes two builds on one machine byte-identical: fixed cell ids, no timing, no widget state, a plain
kernelspec, text and PNG outputs only. `faults` reads a notebook and says, without executing it, what is wrong.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEPT_MIME_TYPES = ("text/plain", "text/markdown", "image/png")
IGNORED_TAG = "nbval-ignore-output"

# A tqdm bar, whatever its description: it is watched live, and neither stored nor compared.
PROGRESS_BAR = re.compile(r"[^\n]*\[\d+:\d\d[<,][^\n]*\]\s*")

# Text that another machine, or the next run, would print differently.
MACHINE_DEPENDENT = {
    "a memory address": re.compile(r"\b0x[0-9a-fA-F]{6,}"),
    # "2.4 s.e.", "2 s(x, σ)" and "s = 3" are none
    "a timing": re.compile(
        r"(?<![\w.])(\d*\.)?\d+ ?(ns|µs|us|ms|s|sec|seconds|min|minutes|it/s|s/it)(?![\w(/]|\.\w| ?=)"
    ),
    "a path of this machine": re.compile(r"(?<![\w/.])/(home|root|tmp|Users|work|var)/|\b[A-Z]:\\"),
}
NOT_RUN_OR_RAISING = re.compile(r"nbval[-_]skip|(nbval[-_])?raises[-_]exception", re.IGNORECASE)


def read(path: Path) -> NotebookNode:
    """Read a notebook of any version 4 format."""
    return nbformat.read(path, as_version=4)


def as_text(notebook: NotebookNode) -> str:
    """The notebook as its file holds it."""
    return nbformat.writes(notebook) + "\n"


def normalised(notebook: NotebookNode, name: str) -> NotebookNode:
    """Return a copy in the committed form; `name` is the file's stem, e.g. "04_annealed_langevin_dynamics"."""
    chapter = re.sub(r"[^A-Za-z0-9-]", "-", name.split("_")[0])[:32]
    result = copy.deepcopy(notebook)
    result.nbformat, result.nbformat_minor = 4, 5
    result.metadata = nbformat.from_dict(METADATA)
    for index, cell in enumerate(result.cells):
        cell.id = f"{chapter}-{index:03d}"
        tags = cell.metadata.get("tags", [])
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            cell.outputs = stored_outputs(cell.outputs)
    return result


def stored_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Return what is kept of a cell's outputs: text and PNG, each run of prints in one piece, no progress bars."""
    kept: list[NotebookNode] = []
    for output in copy.deepcopy(outputs):
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text  # how prints are cut into messages depends on timing
        elif "data" not in output:
            kept.append(output)
        elif not PROGRESS_BAR.fullmatch(output.data.get("text/plain", "")):
            output.data = _stored_data(output.data)
            output.metadata = {kind: value for kind, value in output.metadata.items() if kind == "image/png"}
            kept.append(output)
    return [nbformat.from_dict(output) for output in kept]


def _stored_data(data: dict[str, str]) -> dict[str, str]:
    stored = {kind: data[kind] for kind in KEPT_MIME_TYPES if kind in data}
    if "image/png" in stored:
        picture = without_text_chunks(base64.b64decode(stored["image/png"]))
        stored["image/png"] = base64.b64encode(picture).decode()
    return stored


def without_text_chunks(png: bytes) -> bytes:
    """Return the same PNG, pixel for pixel, without its text and date: Matplotlib stamps its version there."""
    signature, position = png[:8], 8
    chunks = [signature]
    while position < len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        end = position + 12 + length  # length, kind, data and checksum
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"tIME"):
            chunks.append(png[position:end])
        position = end
    return b"".join(chunks)


def faults(path: Path) -> list[str]:
    """Return all that is wrong with the notebook at `path`, one sentence each; nothing is executed."""
    notebook = read(path)
    return [*content_faults(notebook), *_form_faults(path, notebook), *_undefined_names(path)]


def content_faults(notebook: NotebookNode) -> list[str]:
    """Return what is wrong with a notebook's cells and outputs."""
    found = []
    expected_count = 0
    for index, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            expected_count += 1
            found += [f"cell {index}: {fault}" for fault in _cell_faults(cell, expected_count)]
    return found


def _cell_faults(cell: NotebookNode, expected_count: int) -> list[str]:
    tags = cell.metadata.get("tags", [])
    found = []
    if not cell.source.strip():
        found.append("is an empty code cell")
    if cell.execution_count is None:
        found.append("was not executed")
    elif cell.execution_count != expected_count:
        found.append(f"was executed out of order: its count is {cell.execution_count}, not {expected_count}")
    if NOT_RUN_OR_RAISING.search("\n".join([*tags, *re.findall(r"^\s*#.*", cell.source, re.MULTILINE)])):
        found.append("asks nbval not to run it, or to let it raise")
    for output in cell.outputs:
        found += _output_faults(output, compared=IGNORED_TAG not in tags)
    return found


def _output_faults(output: NotebookNode, *, compared: bool) -> list[str]:
    if output.output_type == "error":
        return [f"holds an error: {output.ename}: {output.evalue}"]
    if output.output_type == "stream":
        if output.name == "stderr":
            return [f"wrote to stderr (a warning?): {output.text.strip()[:300]!r}"]
        text = output.text
    else:
        others = sorted(set(output.data) - set(KEPT_MIME_TYPES))
        if others:
            return [f"has an output that is neither text nor PNG: {', '.join(others)}"]
        text = "\n".join(value for kind, value in output.data.items() if kind.startswith("text/"))
        if not output.data or (set(output.data) == {"text/plain"} and text.startswith("<IPython.core.display.")):
            return [f"shows what can't be stored ({text}); use text, Markdown or a figure"]
    if not compared:
        return []
    matches = {what: pattern.search(text) for what, pattern in MACHINE_DEPENDENT.items()}
    return [f"prints {what}: {match.group()!r}" for what, match in matches.items() if match]


def _form_faults(path: Path, notebook: NotebookNode) -> list[str]:
    """Name the first thing in which the file differs from its normalised form."""
    normal = normalised(notebook, path.stem)
    if path.read_text(encoding="utf-8") == as_text(normal):
        return []
    if notebook.metadata != normal.metadata:
        keys = sorted(key for key in {*notebook.metadata, *METADATA} if notebook.metadata.get(key) != METADATA.get(key))
        return [f"is not normalised: the notebook's metadata ({', '.join(keys)})"]
    for index, (cell, normal_cell) in enumerate(zip(notebook.cells, normal.cells, strict=True), start=1):
        for key in sorted({*cell, *normal_cell}):
            if cell.get(key) != normal_cell.get(key):
                return [f"cell {index}: is not normalised: its {key}"]
    return ["is not normalised: its format version or the file's layout"]


def _undefined_names(path: Path) -> list[str]:
    """Ask ruff, which reads a notebook's cells as one module and knows IPython's magics and `display`."""
    command = ["ruff", "check", "--isolated", "--no-cache", "--select", "F821", "--output-format", "json", str(path)]
    answer = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    if answer.returncode not in (0, 1):
        raise RuntimeError(f"ruff failed on {path}: {answer.stderr}")
    return [f"cell {fault['cell']}: {fault['message']}" for fault in json.loads(answer.stdout)]
