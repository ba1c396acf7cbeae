"""The pictures of the paper: densities in amber, score fields as arrows, clouds of samples, sheets of images.

A colour is a role: `COLOURS` has one for each. `plt.style.use("sbgm.course")` draws lines, titles and axes as the
chapters do, and `WIDE`, `MEDIUM` and `NARROW` are the widths of their figures in inches. Each function draws into a
Matplotlib Axes that the caller owns, and returns the artist, so that a slider can move it. `moving_picture` makes
figures the frames of a picture that moves without a kernel.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle
from matplotlib.quiver import Quiver
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from sbgm.files import written_whole
from sbgm.guard import Batch, Count, FilePath, Score, checked, widened
from sbgm.mixtures import GaussianMixture

__all__ = [
    "COLOURS",
    "MEDIUM",
    "NARROW",
    "WIDE",
    "Colours",
    "MovingPicture",
    "agreement_boxes",
    "density_values",
    "draw_boxes",
    "draw_density",
    "draw_field",
    "draw_images",
    "draw_number_map",
    "draw_samples",
    "draw_share",
    "grid",
    "image_sheet",
    "moving_picture",
    "refused",
    "save_sheet",
]

EXTENT = 8.0  # the paper draws [−8, 8]²


class Colours(NamedTuple):
    """The colour of each role, the same in every figure, slider and page.

    Attributes:
        data: data, and their density, which is a map that ends in a paler amber.
        score: scores, arrows.
        moving: what moves: chains, samples.
        wrong: what lies on the wrong side, is wrong or diverges.
        exact: what is known exactly, dashed.
        noise: noise, context.

    Example:
        >>> sbgm.plots.COLOURS.data
        '#e69f00'
    """

    data: str = "#e69f00"
    score: str = "#1f3b73"
    moving: str = "#0072b2"
    wrong: str = "#d55e00"
    exact: str = "#000000"
    noise: str = "#8c8c8c"


COLOURS = Colours()
DENSITY = LinearSegmentedColormap.from_list("density", ["#ffffff", "#efbf5a"])
WIDE, MEDIUM, NARROW = 7.2, 4.6, 3.2  # inches
REFUSED_AS = "_refused_as"  # an attribute of a function that a check has tried: what it was refused as


def grid(n: int, extent: float = EXTENT) -> Tensor:
    """n × n points on [−extent, extent]², row by row from the bottom left: (n², 2).

    Example:
        >>> sbgm.plots.grid(2, extent=1.0)
        tensor([[-1., -1.],
                [ 1., -1.],
                [-1.,  1.],
                [ 1.,  1.]])
    """
    axis = torch.linspace(-extent, extent, n)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def _array(x: Tensor) -> np.ndarray:
    return widened(x).detach().cpu().numpy()


def draw_density(ax: Axes, density: Tensor, extent: float = EXTENT, **options: object) -> AxesImage:
    """A density on `grid(n)` in amber, darker where it is higher: (n²,) values, each row scaled as it comes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> sbgm.plots.draw_density(ax, sbgm.plots.density_values(sbgm.paper_mixture(), n=50)).get_array().shape
        (50, 50)
    """
    n = round(len(density) ** 0.5)
    _square(ax, extent)
    return ax.imshow(
        _array(density).reshape(n, n),
        origin="lower",
        extent=(-extent, extent, -extent, extent),
        **{"cmap": DENSITY, "interpolation": "bilinear", **options},
    )


def density_values(mixture: GaussianMixture, sigma: float = 0.0, n: int = 100, extent: float = EXTENT) -> Tensor:
    """The density q_σ on `grid(n)`: (n²,).

    Example:
        >>> density = sbgm.plots.density_values(sbgm.paper_mixture(), n=100)
        >>> f"{density.sum() * (16 / 99) ** 2:.2f}"  # of points 16/99 apart: all of its mass
        '1.00'
    """
    return mixture.log_prob(grid(n, extent), sigma).exp()


def draw_field(ax: Axes, points: Tensor, scores: Tensor, extent: float = EXTENT, **options: object) -> Quiver:
    """Scores as arrows from their points, both (N, 2); an arrow of length 10 spans one unit of the axes.

    The scale is fixed, so that two fields can be compared and a slider can update one by `set_UVC`.

    Example:
        >>> from matplotlib.figure import Figure
        >>> points = sbgm.plots.grid(20)
        >>> arrows = sbgm.plots.draw_field(Figure().subplots(), points, sbgm.paper_mixture().score(points))
        >>> arrows.N
        400
    """
    _square(ax, extent)
    return ax.quiver(
        *_array(points).T,
        *_array(scores).T,
        **{"angles": "xy", "scale_units": "xy", "scale": 10.0, "width": 0.004, "color": COLOURS.score, **options},
    )


def draw_samples(ax: Axes, x: Tensor, extent: float = EXTENT, **options: object) -> PathCollection:
    """A cloud of samples, (N, 2).

    Example:
        >>> from matplotlib.figure import Figure
        >>> x = sbgm.paper_mixture().sample(100, generator=torch.Generator().manual_seed(0))
        >>> len(sbgm.plots.draw_samples(Figure().subplots(), x).get_offsets())
        100
    """
    _square(ax, extent)
    return ax.scatter(*_array(x).T, **{"s": 4, "alpha": 0.5, "color": COLOURS.moving, "linewidths": 0, **options})


def draw_share(ax: Axes, share: float, true: float) -> BarContainer:
    """A bar of the share of chains on one side, whose rest is on the wrong side, and a tick at the true share.

    Args:
        ax: an Axes of its own, low and as wide as what it stands under.
        share, true: in [0, 1].

    Example:
        >>> from matplotlib.figure import Figure
        >>> bar = sbgm.plots.draw_share(Figure(figsize=(2, 0.3)).subplots(), 0.63, true=0.8)
        >>> print(bar.patches[0].get_width())
        0.63
    """
    bar = ax.barh(0, share, color=COLOURS.moving, height=1)
    ax.barh(0, 1 - share, left=share, color=COLOURS.wrong, height=1)
    ax.plot([true, true], [-0.8, 0.8], color=COLOURS.exact, lw=1.6, clip_on=False)
    ax.set(xlim=(0, 1), ylim=(-0.5, 0.5))
    ax.set_axis_off()
    return bar


def draw_boxes(ax: Axes, boxes: Sequence[tuple[float, float, float]]) -> list[Patch]:
    """Fig. 2's rectangles, where a field agrees with the exact one: squares given as (centre x, centre y, half-width).

    Example:
        >>> from matplotlib.figure import Figure
        >>> (box,) = sbgm.plots.draw_boxes(Figure().subplots(), [(5.0, 5.0, 1.5), (-5.0, -5.0, 0.0)])
        >>> box.get_width()
        3.0
    """
    style = {"fill": False, "edgecolor": COLOURS.exact, "linestyle": "--", "linewidth": 1.5, "zorder": 3}
    return [ax.add_patch(Rectangle((x - r, y - r), 2 * r, 2 * r, **style)) for x, y, r in boxes if r > 0]


def agreement_boxes(
    score: Score, exact: Score, centres: Tensor, *, tolerance: float = 0.05, extent: float = EXTENT
) -> list[tuple[float, float, float]]:
    """Where two fields agree: for each centre the largest square around it in which they do.

    Agreement is Σ‖s − s*‖² ≤ tolerance · Σ‖s*‖² over points of the square that are 0.25 apart; squares stay within
    [−extent, extent]².

    Args:
        score, exact: the two fields.
        centres: the middles of the squares, (K, 2).
        tolerance: the largest relative squared error Σ‖s − s*‖²/Σ‖s*‖².
        extent: half-width of the figure.

    Returns:
        (centre x, centre y, half-width) for each centre; half-width 0 where the fields agree nowhere.

    Example:
        >>> exact = sbgm.paper_mixture().score
        >>> learned = lambda x, sigma: 1.1 * exact(x, sigma)  # a relative squared error of 0.01 everywhere
        >>> sbgm.plots.agreement_boxes(learned, exact, torch.tensor([[5.0, 5.0]]))  # as far as the border at 8
        [(5.0, 5.0, 3.0)]
    """
    boxes = []
    for centre in centres:
        radius = 0.0
        room = extent - float(centre.abs().max())
        for n in range(1, int(room / 0.25) + 1):  # small squares may fail, since the score itself is 0 at a mode
            side = 0.25 * torch.arange(-n, n + 1)
            points = centre + torch.cartesian_prod(side, side)
            with torch.no_grad():
                true = exact(points, 0.0)
                error = (score(points, 0.0) - true).square().sum() / true.square().sum()
            if float(error) <= tolerance:
                radius = 0.25 * n
        boxes.append((float(centre[0]), float(centre[1]), radius))
    return boxes


@checked
def draw_images(ax: Axes, images: Batch, n_columns: int = 8, **options: object) -> AxesImage:
    """A sheet of images, row by row with a white border.

    Args:
        ax: where to draw.
        images: a tensor (N, C, H, W) in [0, 1]; values outside are clamped.
        n_columns: images a row, an int.
        options: of `imshow`.

    Example:
        >>> from matplotlib.figure import Figure
        >>> images = sbgm.load_images("digits")[:16]
        >>> sbgm.plots.draw_images(Figure().subplots(), images, n_columns=8).get_array().shape  # 2·(8 + 1) + 1 rows
        (19, 73, 3)
    """
    ax.set_axis_off()
    style = {"interpolation": "nearest", "vmin": 0, "vmax": 1, **options}
    return ax.imshow(image_sheet(images, n_columns).numpy(), **style)


@checked
def image_sheet(images: Batch, n_columns: int = 8) -> Tensor:
    """Images laid out in rows with a white border, as one (H', W', 3) tensor in [0, 1]; one alone has no border.

    Args:
        images: a tensor (N, C, H, W); values outside [0, 1] are clamped.
        n_columns: images a row, an int.

    Example:
        >>> sbgm.plots.image_sheet(torch.zeros(4, 1, 28, 28), n_columns=2).shape  # 1 + 28 + 1 + 28 + 1
        torch.Size([59, 59, 3])
    """
    # By hand, since loading torchvision for its make_grid takes as long as loading torch.
    images = widened(images).detach().cpu().clamp(0, 1).expand(-1, 3, -1, -1)
    if len(images) == 1:
        return images[0].permute(1, 2, 0)
    n_columns = min(n_columns, len(images))
    cells = functional.pad(images, (1, 0, 1, 0), value=1.0)  # a border on the left and above
    blank = torch.ones(-len(images) % n_columns, *cells.shape[1:])
    rows = torch.cat([cells, blank]).unflatten(0, (-1, n_columns))  # (rows, columns, C, H, W)
    sheet = rows.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return functional.pad(sheet, (0, 0, 0, 1, 0, 1), value=1.0)


SEEN = 128  # pixels a side at which an image of a sheet can be looked at


@checked
def save_sheet(path: FilePath, images: Batch, n_columns: int = 8, names: Sequence[str] = ()) -> None:
    """Write a sheet of images as a PNG, small ones enlarged to 128 pixels a side or more.

    Args:
        path: the file to write.
        images: a tensor (N, C, H, W) in [0, 1]; values outside are clamped.
        n_columns: number of images in a row.
        names: of the columns, written above them; a name that is too long is cut.

    Example:
        >>> sbgm.plots.save_sheet("sheet.png", sbgm.load_images("digits")[:16])
    """
    from PIL import ImageOps

    pixels = (image_sheet(images, n_columns) * 255).round().byte().numpy()
    scale = math.ceil(SEEN / max(images.shape[-2:]))
    sheet = ImageOps.scale(Image.fromarray(pixels), scale, Image.Resampling.NEAREST)
    if names:
        sheet = _headed(sheet, names, scale * (images.shape[-1] + 1))
    with written_whole(path) as partial:
        sheet.save(partial, format="png")


def _headed(sheet: Image.Image, names: Sequence[str], width: int) -> Image.Image:
    """A sheet with names above its columns, each so many pixels wide."""
    height = 24
    headed = Image.new("RGB", (sheet.width, sheet.height + height), "white")
    headed.paste(sheet, (0, height))
    font = ImageFont.load_default(16)
    for column, name in enumerate(names):
        head = Image.new("RGB", (width, height), "white")
        ImageDraw.Draw(head).text((width / 2, height / 2), name, "black", font, anchor="mm")
        headed.paste(head, (column * width, 0))
    return headed


def draw_number_map(
    ax: Axes, values: Tensor, rows: Sequence[object], columns: Sequence[object], **options: object
) -> AxesImage:
    """Positive numbers written into a map, darker where they are larger (on a log scale), white where they are NaN.

    Args:
        ax: the axes to draw in.
        values: the numbers, (R, C).
        rows, columns: the labels of rows and columns.
        options: those of `imshow`.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> _ = sbgm.plots.draw_number_map(ax, torch.tensor([[1.0, 20.0]]), rows=["FID"], columns=["NCSN", "other"])
        >>> [text.get_text() for text in ax.texts]
        ['1', '20']
    """
    shades = widened(values).log()
    numbers = shades[~shades.isnan()]
    low = float(numbers.min())
    high = float(numbers.max())
    style = {"cmap": "Greys", "vmin": low, "vmax": max(high, low + 1e-6), "aspect": "auto", **options}
    image = ax.imshow(shades.numpy(), **style)
    for i, j in (~values.isnan()).nonzero().tolist():
        value = float(values[i, j])
        text = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
        colour = "white" if float(shades[i, j]) > (low + high) / 2 else "black"
        ax.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
    ax.set_xticks(range(len(columns)), list(map(str, columns)), fontsize=8)
    ax.set_yticks(range(len(rows)), list(map(str, rows)))
    return image


def _square(ax: Axes, extent: float) -> None:
    ax.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
    if extent >= 5:
        ax.set(xticks=(-5, 0, 5), yticks=(-5, 0, 5))


class MovingPicture:
    """Frames that a notebook shows as an animated PNG, which moves in JupyterLab, on GitHub and on web pages.

    Where nothing moves, on paper, its first frame is seen.

    Attributes:
        frames: pictures of one size, in the colours of one palette.
        milliseconds: an int, how long each is seen.
        png: the file's bytes.

    Example:
        >>> from PIL import Image
        >>> picture = sbgm.plots.MovingPicture([Image.new("P", (30, 20)), Image.new("P", (30, 20), 1)], [700, 2000])
        >>> picture, picture.png[1:4]
        (MovingPicture(2 frames), b'PNG')
    """

    def __init__(self, frames: Sequence[Image.Image], milliseconds: Sequence[int]) -> None:
        self.frames = list(frames)
        self.milliseconds = list(milliseconds)
        first, *rest = self.frames
        moving = {"save_all": True, "append_images": rest, "duration": self.milliseconds, "loop": 0}
        file = io.BytesIO()
        first.save(file, "png", optimize=True, **moving)
        self.png = file.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.frames)} frames)"


@checked
def moving_picture(
    figures: Iterable[Figure],
    *,
    colours: Count = 40,
    milliseconds: Count = 200,
    dpi: Count = 72,
) -> MovingPicture:
    """Make figures of one size the frames of a moving picture, drawing and closing them one after the other.

    Twenty frames of 4 × 3 inches take some 0.15 MB in 40 colours; fewer colours take less.

    Args:
        figures: one a frame; a generator serves, so that only one is in memory.
        colours: in the palette, an int of at most 256; the same for all frames.
        milliseconds: an int, how long a frame is seen, except the first (0.7 s) and the last (2 s).
        dpi: pixels per inch, an int.

    Raises:
        ValueError: there is no figure, they differ in size, or a palette can't hold so many colours.

    Example:
        >>> from matplotlib.figure import Figure
        >>> figures = (Figure(figsize=(2, 1), facecolor=(shade, 0, 0)) for shade in (0.0, 0.5, 1.0))
        >>> picture = sbgm.plots.moving_picture(figures, colours=4)
        >>> picture, picture.frames[0].size, picture.milliseconds
        (MovingPicture(3 frames), (144, 72), [700, 200, 2000])
    """
    if not 2 <= colours <= 256:
        raise ValueError(f"colours must be 2 … 256, got {colours}")
    drawn = [_drawn(figure, dpi) for figure in figures]
    sizes = {frame.size for frame in drawn}
    if len(sizes) != 1:
        raise ValueError(f"figures must be one or more of one size, got {len(drawn)} of the sizes {sorted(sizes)}")
    width, height = drawn[0].size
    column = Image.new("RGB", (width, height * len(drawn)))  # of all frames, so that they get one palette
    for i, frame in enumerate(drawn):
        column.paste(frame, (0, i * height))
    # k-means gives the colour of a few small points a place, which the median cut alone does not; of all pixels it
    # takes eight seconds for a film of noisy photographs, of every third one a second
    some = column.resize((width // 3, column.height // 3), Image.Resampling.NEAREST)
    palette = some.quantize(colours, kmeans=2, dither=Image.Dither.NONE)
    column = column.quantize(palette=palette, dither=Image.Dither.NONE)
    frames = [column.crop((0, i * height, width, (i + 1) * height)) for i in range(len(drawn))]
    durations = [milliseconds] * len(frames)
    durations[0] = 700
    durations[-1] = 2_000
    return MovingPicture(frames, durations)


def _drawn(figure: Figure, dpi: int) -> Image.Image:
    from matplotlib import pyplot  # which keeps the figures that it made until they are closed, and would show them

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    pyplot.close(figure)
    return Image.open(file).convert("RGB")


# --- refused functions ------------------------------------------------------------------------------------------------


def refused(*functions: object) -> str:
    """Say in a figure's title which of the functions that draw it were refused by their checks.

    Args:
        functions: a student's, or any others.

    Returns:
        A new line for each to put after the title, as "(drawn by a refused langevin_step)"; "" if none was refused.

    Example:
        >>> f"the density{sbgm.plots.refused(torch.sin)}"
        'the density'
    """
    names = dict.fromkeys(getattr(function, REFUSED_AS, "") for function in functions)
    return "".join(f"\n(drawn by a refused {name})" for name in names if name)
