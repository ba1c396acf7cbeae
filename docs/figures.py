"""Write the chapters' figures for slides, and an index with their captions, into build/figures/: `make figures`.

A film is written as animated PNG and, for programs that do not move such a file, as GIF.
"""

import io
from collections.abc import Iterator

from PIL import Image

from build import ROOT, write
from chapters import Page, pages_in


def figures(chapter: Page) -> Iterator[tuple[str, bytes, str]]:
    """Yield each figure of a chapter: its file's name, with the cell's number, the file's content and the caption."""
    for index, caption in chapter.alternatives().items():
        png = chapter.picture(index)
        yield f"{chapter.file.stem}_{index}.png", png, caption
        with Image.open(io.BytesIO(png)) as film:
            if film.is_animated:
                gif = io.BytesIO()
                film.save(gif, "gif", save_all=True)
                yield f"{chapter.file.stem}_{index}.gif", gif.getvalue(), caption


if __name__ == "__main__":
    written = [figure for chapter in pages_in(ROOT / "notebooks") for figure in figures(chapter)]
    index = "\n".join(f"- [{name}]({name}): {caption}" for name, _, caption in written)
    write(ROOT / "build" / "figures", {name: content for name, content, _ in written} | {"index.md": index.encode()})
