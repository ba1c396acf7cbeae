"""Score-based generative modelling: "Generative Modeling by Estimating Gradients of the Data Distribution" reproduced.

Import names, or `import sbgm`: `from sbgm import *` binds none. The distribution is called sbgm-ncsn; `sbgm` on PyPI is
another author's.

A thousand points, spread over the plane, go down a ladder of noise levels and become samples of the paper's mixture:

    >>> import torch
    >>> from sbgm import annealed_langevin, final, geometric_sigmas, paper_mixture
    >>> sigmas, generator = geometric_sigmas(10, 0.1, 10), torch.Generator().manual_seed(0)
    >>> start, options = 16 * torch.rand(1000, 2, generator=generator) - 8, {"step_size": 0.005, "n_steps": 100}
    >>> x = final(annealed_langevin(paper_mixture().score, start, sigmas, generator=generator, **options))
    >>> print(f"{(x.sum(dim=1) > 0).float().mean():.1f} of them are at (5, 5), the mode whose weight is 0.8")
    0.8 of them are at (5, 5), the mode whose weight is 0.8

A score is any callable `score(x, sigma)`: x of shape (B, *shape), sigma a float or a (B,) tensor, returning x's shape.
Exact mixtures, networks and energy gradients are then interchangeable in every loss and sampler.

The spine is an evening's reading, in this order: `mixtures`, `noise`, `losses`, `samplers`, `networks`, `training`.
`theory` has what is known exactly, `plots` the figures. A folder is a room that one may skip: `images`, `measure`,
`widgets`, `apps`; `guard` and `files` serve them all. `help(sbgm.langevin)` says more of a name than its line here:

    GaussianMixture                 a mixture of Gaussians: its samples, density and score at every noise level
    paper_mixture                   the mixture of Sections 3 and 4

    geometric_sigmas                the ladder of noise levels of Section 4.1
    perturb                         data with noise
    randn_like                      noise of a tensor's shape, from a generator
    derived_generator               a generator that depends on a seed and on the number of a piece of work

    score_matching_loss             exact score matching (Eq. 1)
    denoising_score_matching_loss   denoising score matching (Eq. 2 and 5)
    sliced_score_matching_loss      sliced score matching (Eq. 3)
    ncsn_loss                       denoising score matching over a ladder (Eq. 6)

    langevin                        Langevin dynamics (Eq. 4)
    metropolis_langevin             Langevin dynamics with a Metropolis test
    annealed_langevin               Algorithm 1
    inpaint                         Algorithm 2
    ancestral                       from level to level, as in diffusion models
    probability_flow                the differential equation that draws no noise
    denoise                         the expected clean point behind a noisy one
    final                           the chains at a sampler's end
    State                           what a sampler yields after each step
    SamplerDivergedError            what it raises where its chains diverge

    MLP                             a score in a few dimensions that ignores σ
    ConditionalMLP                  a score in a few dimensions at every σ
    ImageMLP                        a score of small images without a convolution
    DigitNetwork                    the student's network of chapter 8
    RefineNet                       the paper's network
    ResNet                          the network of Fig. 1
    ScoreNetwork                    what an image network of one's own is a subclass of
    rescaled                        a network's scores at σ off its ladder
    in_range                        a score whose clean points are kept in the data's range
    guided                          a score bound to a class, and exaggerated
    autocast                        a score whose layers run in 16 bits
    fit_score                       a training that fits into a cell

    load_images, load_labels        a data set's images and their classes
    own_images                      a data set of one's own
    generate                        any number of samples, batch by batch
    load_network, save_network      a network with all that it takes to build it
    load_weights, save_weights      the weights alone
    load_authors                    the paper's network with the authors' weights

Names are loaded when first used, so that `import sbgm` costs little. The stub `__init__.pyi` lists them for editors.
"""

import lazy_loader as _lazy_loader  # so that no editor offers it as a name of the package

__version__ = "0.3.0"

# no `__all__`, of whose every name help(sbgm) would show the whole documentation, 10,000 lines with torch's own
__getattr__, __dir__, _ = _lazy_loader.attach_stub(__name__, __file__)
