"""Twenty digits by Algorithm 1 of the paper, from a network that one core trained in half an hour.

python examples/twenty_digits.py [FILE [N]]      # half a minute; N digits; without a file the last frame is shown

The network is the paper's at a quarter of its width. Three things are later than the paper: its output is divided by σ
(Song and Ermon 2020), its weights are averages over the last steps of its training (the same paper), and the sampler
ends with one step without noise (Jolicoeur-Martineau et al. 2020). No digit is chosen: these are the first that seed 0
draws. To try: another seed; fewer steps a level; only the last level, `sigmas[-1:]`.
"""

import sys

import matplotlib.pyplot as plt
import torch

import sbgm

file = sys.argv[1] if len(sys.argv) > 1 else None
n_digits = int(sys.argv[2]) if len(sys.argv) > 2 else 20
torch.set_num_threads(1)

network = sbgm.load_network("mnist_hour").requires_grad_(False)
sigmas = sbgm.geometric_sigmas(1.0, 0.01, 10)  # the paper's ten levels
generator = torch.Generator().manual_seed(0)
start = torch.rand(n_digits, 1, 28, 28, generator=generator)

# The paper takes T = 100 steps of ε = 2·10⁻⁵ at each level. Here are a fifth as many, larger ones: T ε is 2.5·10⁻³.
n_steps = 20
chains = sbgm.annealed_langevin(
    network, start, sigmas, step_size=2.5e-3 / n_steps, n_steps=n_steps, generator=generator, denoise_last=True
)
film = [start]
for state in chains:
    if state.step in (1, 4, n_steps) and state.sigma > 0.05:  # little changes between these and below
        film.append(state.x)
film.append(state.x)


def frame(images):
    """The images in rows of ten, each pixel nine of the film's."""
    sheet = sbgm.plots.image_sheet(images, n_columns=10)
    figure = plt.figure(figsize=(sheet.shape[1] / 100, sheet.shape[0] / 100))
    sbgm.plots.draw_images(figure.add_axes((0, 0, 1, 1)), images, n_columns=10)
    return figure


if file:
    picture = sbgm.plots.moving_picture((frame(x) for x in (film[-1], *film)), colours=16, dpi=300)
    with open(file, "wb") as written:
        written.write(picture.png)
else:
    frame(film[-1]).set_dpi(300)
    plt.show()
