"""The figures for slides."""

import io

from PIL import Image, ImageSequence

from chapters import ROOT, pages_in
from figures import figures


def test_a_film_moves_as_gif_as_it_does_as_png_and_each_figure_has_its_caption():
    chapter = pages_in(ROOT / "notebooks")[3]
    written = {name: (content, caption) for name, content, caption in figures(chapter)}
    captions = chapter.alternatives().values()
    assert [caption for name, (_, caption) in written.items() if name.endswith("png")] == [*captions]
    films = [name for name in written if name.endswith("gif")]
    assert films
    for name in films:
        moves = {}
        for form in ("png", "gif"):
            content, _ = written[f"{name.removesuffix('gif')}{form}"]
            frames = ImageSequence.all_frames(Image.open(io.BytesIO(content)))
            moves[form] = [(frame.info["duration"], frame.convert("RGB").tobytes()) for frame in frames]
        assert moves["gif"] == moves["png"]
