# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 8 · Inpainting
#
# **You will be able to**
#
# - fill in the unknown part of an image by Algorithm 2, behind a mask of any shape, with a network that was never trained to;
# - say what the known pixels do at each level, and why they are noisy at the end;
# - measure whether fills differ, whether they agree with what is known, and whether they are near the truth;
# - say what Algorithm 2 samples, and how far that is from the exact conditional distribution where this is known.
#
# **Needs** chapters 4 and 7. **Takes** an hour to read and about a minute to run on two cores. Everything it needs ships with
# the project.

# %%
import math

import matplotlib.pyplot as plt
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression

from sbgm import final, geometric_sigmas, inpaint, load_images, load_labels, load_network, masks, paper_mixture, plots
from sbgm.claims import attached_file, check, check_weights, load_record, settle
from sbgm.experiments import Scale
from sbgm.experiments.recorded.i8 import i8_checks
from sbgm.experiments.recorded.i8_fills import last_y, measure_fills
from sbgm.explorers import inpainting_explorer
from sbgm.generation import uniform_start
from sbgm.metrics import estimate, shown

_ = torch.set_num_threads(1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# %% tags=["nbval-ignore-output"]
scale = Scale.from_environment()  # SBGM_SCALE=gpu before Jupyter starts: the paper's T, on a GPU (chapter 7)
print(scale)

# %% [markdown]
# ## The idea
#
# A part of an image is missing, and we want to know what may have been there. That is a question about the **conditional
# distribution** of the unknown pixels given the known ones. A score network knows only the joint distribution of all pixels. But its
# sampler moves all pixels a little at a time, and we can interfere: after each step, *put the known pixels back*. The others go
# on moving, and the score that moves them sees the known ones and has to agree with them.
#
# One thing needs care. At level $i$ the network expects an image with noise $\sigma_i$ everywhere. Clean pixels beside noisy ones would
# be unlike anything it was trained on. So the known pixels are put back *with noise of that level*:
#
# > **Algorithm 2** (appendix B.3). Let $\mathbf m$ be 1 where a pixel of the image $\mathbf x$ is known and 0 elsewhere. Start
# > $\tilde{\mathbf x}_0$ from uniform noise. For $i = 1,\dots,L$: set $\alpha_i = \varepsilon\,\sigma_i^2/\sigma_L^2$; draw $\mathbf
# > z\sim\mathcal N(0, I)$ and set $\mathbf y = \mathbf x + \sigma_i\mathbf z$, **once**; for $t = 1,\dots,T$, draw $\mathbf z_t$ and set
# > $$\tilde{\mathbf x}_t = \tilde{\mathbf x}_{t-1} + \frac{\alpha_i}{2}\,\mathbf s(\tilde{\mathbf x}_{t-1},\sigma_i) +
# > \sqrt{\alpha_i}\;\mathbf z_t,\qquad \tilde{\mathbf x}_t \leftarrow (1-\mathbf m)\odot\tilde{\mathbf x}_t + \mathbf m\odot\mathbf y;$$
# > then $\tilde{\mathbf x}_0\leftarrow\tilde{\mathbf x}_T$. Return $\tilde{\mathbf x}_T$.
#
# It is Algorithm 1 with two lines more. Written out, beside `inpaint`, with chapter 6's perceptron for 8 × 8 digits:

# %%
perceptron = load_network("digits_mlp")
sigmas = perceptron.sigmas
digits, digit_labels = (load("digits", "test")[:8] for load in (load_images, load_labels))


def algorithm_2(score, x, sigmas, image, mask, step_size, n_steps, generator):
    """Yield the level, its y, and the chains after every step."""
    for level, sigma in enumerate(sigmas.tolist(), start=1):
        alpha = step_size * sigma**2 / float(sigmas[-1]) ** 2
        y = image + sigma * torch.randn(x.shape, generator=generator)
        for _ in range(n_steps):
            z = torch.randn(x.shape, generator=generator)
            x = x + alpha / 2 * score(x, sigma) + math.sqrt(alpha) * z
            x = torch.where(mask, y, x)
            yield level, y, x


left_known = masks.right_half(digits.shape)  # named by what is hidden, as in the paper; True where a pixel is known
options = {"image": digits[0], "mask": left_known, "step_size": 2e-5, "n_steps": 20}
start = torch.rand(4, 1, 8, 8, generator=seeded(1))
ours = algorithm_2(perceptron, start, sigmas, generator=seeded(), **options)
states = inpaint(perceptron, start, sigmas, generator=seeded(), **options)
for (level, y, x), state in zip(ours, states, strict=True):
    torch.testing.assert_close(state.x, x)
    assert state.level == level
    known = left_known.expand_as(x)
    assert (state.x[known] == y[known]).all()  # bit for bit, after every step
f"{state.level} levels, {state.step} steps at each"

# %% [markdown]
# Multiplying by $\mathbf m$ and $1-\mathbf m$ and adding, as the formula has it, and choosing by `torch.where` differ only for what is
# not finite.
#
# Note what comes out. The known pixels are those of the *last* $\mathbf y$, that is $\mathbf x$ with noise of $\sigma_L = 0.01$, to the
# last bit. Nobody sees it, and one could paste the clean pixels in at the end. We return what the algorithm returns: it makes the whole
# image one of level $\sigma_L$, and it makes the claim below testable.
#
# ## Masks of any shape
#
# Models that draw an image pixel by pixel, row after row, such as PixelCNN, can continue an image from the top only. Here the mask may
# be anything (§ 5). We use three: the right half hidden, as in the paper; a box in the centre; and half of the pixels, at random.

# %%
shape = (1, 28, 28)
hidden = {kind: masks.make_mask(kind, shape, generator=seeded()) for kind in masks.KINDS}
mnist, mnist_labels = load_images("mnist_small", "test"), load_labels("mnist_small", "test")


def occluded(image, mask):
    """The image with grey where it is unknown."""
    return torch.where(mask, image, 0.5)


fig, axes = plt.subplots(1, 3, figsize=(8.4, 2), layout="constrained")
for ax, (kind, mask) in zip(axes, hidden.items(), strict=True):
    plots.draw_images(ax, occluded(mnist[:6], mask), n_columns=3)
    ax.set_title(f"{kind}: {float(mask.float().mean()):.0%} known")
plt.show()

# %% [markdown]
# *Six test digits behind each mask; unknown pixels are grey.*
#
# (On CIFAR-10 the authors inpainted *training* images. A network might then fill in what it remembers. We use test images throughout.)
#
# ## A quick case, complete
#
# Eight test digits of 8 × 8 pixels, eight fills behind each of the three masks, with the paper's $T = 100$ and $\varepsilon =
# 2\cdot10^{-5}$. The perceptron does this in seconds.

# %%
N_FILLS = 8
small_masks = torch.stack([masks.make_mask(kind, (1, 8, 8), generator=seeded(3)) for kind in masks.KINDS])
truth = digits.repeat_interleave(N_FILLS, dim=0)
small_fills, small_ys = [], []
for i, mask in enumerate(small_masks):
    generator = seeded(10 + i)
    x = uniform_start(tuple(truth.shape), generator)
    settings = {"step_size": 2e-5, "n_steps": 100, "generator": generator}
    small_fills.append(final(inpaint(perceptron, x, sigmas, image=truth, mask=mask, **settings)))
    # the last y, by drawing all noise once more, without the network
    small_ys.append(last_y(truth, x, sigmas.tolist(), 100, seeded(10 + i)))
small_fills, small_ys = (torch.stack(v).unflatten(1, (8, N_FILLS)) for v in (small_fills, small_ys))

fig, axes = plt.subplots(1, 3, figsize=(9.4, 3.9), layout="constrained")
for ax, kind, mask, fills in zip(axes, masks.KINDS, small_masks, small_fills, strict=True):
    rows = [torch.cat([occluded(d[None], mask), f[:6], d[None]]) for d, f in zip(digits, fills, strict=True)]
    plots.draw_images(ax, torch.cat(rows), n_columns=8)
    for line in (9.5, 63.5):
        ax.axvline(line, color="#d95f02", lw=2)
    ax.set_title(kind)
plt.show()

# %% [markdown]
# *Each row: the occluded digit, six fills, the original. It is the layout of the paper's Fig. 6.*
#
# ### How to judge fills
#
# Four questions, four measures (`measure_fills`):
#
# 1. **Are the known pixels kept?** They must be the last $\mathbf y$ bit for bit, and so off the image by $\sigma_L$ in the root mean
#    square.
# 2. **Do the fills differ?** The standard deviation over fills of an unknown pixel. If all fills were one image with noise $\sigma_L$,
#    it would be $\sigma_L$; we ask for three times that.
# 3. **Do they agree with what is known?** A classifier should see the original's class in them, if enough of it is known. Where half a
#    digit may be a 3 or an 8, changing the class is no fault.
# 4. **Are they near the truth?** Nobody can ask that they hit it. But they should be nearer to it, in the unknown pixels, than the same
#    part of *another* image is.

# %%
classifier = LogisticRegression(max_iter=1_000).fit(
    load_images("digits").flatten(1).numpy(), load_labels("digits").numpy()
)


def small_logits(x):
    return torch.from_numpy(classifier.decision_function(x.flatten(1).numpy()))


small = measure_fills(small_fills, small_ys, digits, digit_labels, small_masks, classifier=small_logits)

# the last two by hand, for the first mask
unknown = ~small_masks[0].expand(1, 8, 8)
torch.testing.assert_close(small["spread"][0], small_fills[0].var(dim=1)[:, unknown].mean(dim=1).sqrt())
miss = (small_fills[0] - digits[:, None])[..., unknown].square().mean(dim=-1).sqrt()
torch.testing.assert_close(small["miss"][0], miss)

known_miss = float(small["known_miss"].square().mean().sqrt())
assert int(small["changed"].sum()) == 0
assert 0.0095 < known_miss < 0.0105
assert (small["spread"].square().mean(dim=1).sqrt() > 0.03).all()
assert (small["miss"].mean(dim=(1, 2)) < small["others"].mean(dim=(1, 2))).all()
small_kept = dict(zip(masks.KINDS, small["kept"].float().mean(dim=(1, 2)).tolist(), strict=True))
assert small_kept["random"] > 0.5  # chance is a tenth

# %% tags=["nbval-ignore-output"]
for i, kind in enumerate(masks.KINDS):
    values = [small[name][i].mean().item() for name in ("spread", "miss", "others")]
    print(
        f"{kind:<11} class kept {small_kept[kind]:.0%}   spread {values[0]:.2f}   off the truth {values[1]:.2f}, another image {values[2]:.2f}"
    )

# %% [markdown]
# ## Fig. 6, on MNIST
#
# The same on 28 × 28 pixels with chapter 6's RefineNet takes hours on two cores, and is recorded: the first twenty test images that
# ship, twenty fills of each behind each mask.

# %%
record = check_weights(load_record("I8"))  # refuses it if a network's sha256 differs
tensors = load_file(attached_file(record))
for recorded, derived in zip(
    record.checks, i8_checks(tensors, sigma_min=record.facts["sigma_min"]), strict=True
):  # the record's numbers, derived once more from what was measured fill by fill
    assert recorded.holds, recorded
    assert math.isclose(recorded.value, derived.value, rel_tol=1e-4, abs_tol=1e-6), (recorded, derived)
images = tensors["images"]
fills = tensors["fills"].float() / 255
torch.testing.assert_close(images.float() / 255, shown(mnist[: len(images)]))  # they are those that ship
images = images.float() / 255


def draw_fills_of(ax, mask_index, n_images):
    """The paper's layout: occluded, fills, original, a row an image."""
    mask = tensors["masks"][mask_index]
    rows = [
        torch.cat([occluded(image[None], mask), of_image, image[None]])
        for image, of_image in zip(images[:n_images], fills[mask_index, :n_images], strict=True)
    ]
    n_columns = fills.shape[2] + 2
    plots.draw_images(ax, torch.cat(rows), n_columns=n_columns)
    for line in (29.5, 29 * (n_columns - 1) + 0.5):
        ax.axvline(line, color="#d95f02", lw=2)
    ax.set_title(masks.KINDS[mask_index])


fig, ax = plt.subplots(figsize=(6.4, 7.8), layout="constrained")
draw_fills_of(ax, 0, 10)
plt.show()

# %% [markdown]
# *Our Fig. 6. From left to right: the occluded test image, six fills, the original. The paper shows the same for CelebA and
# CIFAR-10. The images are the first ten, the fills the first six, uncurated.*

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.4, 6), layout="constrained")
for ax, mask_index in zip(axes, (1, 2), strict=True):
    draw_fills_of(ax, mask_index, 10)
plt.show()

# %% [markdown]
# *The same digits behind the other two masks. With half of the pixels known at random, little is left to choose.*
#
# Where do fills differ? The standard deviation over the fills, pixel by pixel:

# %%
fig, axes = plt.subplots(len(masks.KINDS), 1, figsize=(8.4, 3.6), layout="constrained", sharex=True)
for i, (ax, kind) in enumerate(zip(axes, masks.KINDS, strict=True)):
    spread_map = torch.cat(list(fills[i].std(dim=1)[:8, 0]), dim=1)
    shown_map = ax.imshow(spread_map.numpy(), cmap="Greys", vmin=0, vmax=0.5)
    ax.set(yticks=[], ylabel=kind)
    ax.set_xticks([28 * j + 14 for j in range(8)], [str(int(label)) for label in mnist_labels[:8]])
    for j in range(1, 8):
        ax.axvline(28 * j - 0.5, color="#d95f02", lw=1)
axes[-1].set_xlabel("true class")
fig.colorbar(shown_map, ax=axes, label="standard deviation over fills", shrink=0.9)
plt.show()

# %% [markdown]
# *The spread of each pixel over the six fills of the sheets above, for eight digits behind each mask: white where all fills agree. Known
# pixels are white, up to the noise of $\sigma_L$.*
#
# ### I8: masks of any shape, and fills that differ
#
# *Expected before measuring,* for each mask: 20 fills of each image; the known pixels are the last $\mathbf y$ bit for bit, and off
# the image by $0.0100\pm2\,\%$; the spread of unknown pixels is at least $3\sigma_L$; the classifier sees the original's class in at
# least 95 % of the fills behind the random mask and in at least 70 % behind the right half (nothing was expected of the centre box);
# fills are nearer to the truth than other images are.
#
# *Live:* four fills of one test digit behind each mask with the same network; on a laptop with fewer and larger steps, $T = 20$ and
# $\varepsilon = 5\cdot10^{-5}$. Known pixels bit for bit; and a spread of at least $1.5\,\sigma_L$, where noise alone would give $1.07\,\sigma_L$
# (chapter 7's factor, at this ε). We keep all states, for the slider.

# %%
network = scale.load()
score = scale.score(network)
step_size = 2e-5 if scale.n_steps >= 100 else 5e-5
image = mnist[4]
live_runs, live_checks = {}, []
for i, (kind, mask) in enumerate(hidden.items()):
    generator = seeded(20 + i)
    x = uniform_start((4, *shape), generator)
    settings = {"step_size": step_size, "n_steps": scale.n_steps, "generator": generator}
    states = inpaint(
        score, x.to(scale.device), network.sigmas, image=image.to(scale.device), mask=mask.to(scale.device), **settings
    )
    live_runs[kind] = [state._replace(x=state.x.cpu()) for state in states]
    y = last_y(image, x, network.sigmas.tolist(), scale.n_steps, seeded(20 + i))
    filled = live_runs[kind][-1].x
    differing = int(((filled != y) & mask).sum())
    apart = float(filled.var(dim=0)[~mask].mean().sqrt())
    live_checks += [
        check(f"live, {kind}: known pixels that are not the last y", differing, high=0),
        check(f"live, {kind}: sd of unknown pixels over fills", apart, low=0.015),
    ]

I8 = settle("I8", [*record.checks, *live_checks], status=record.status, data=record.data, note=record.note)
I8

# %% tags=["nbval-ignore-output"]
print(record.details())
print(*live_checks, sep="\n")

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.2), layout="constrained")
kept = [estimate(tensors["kept"][i].double().mean(dim=1)) for i in range(3)]
left.bar(
    range(3),
    [100 * k.value for k in kept],
    yerr=[200 * k.se for k in kept],
    capsize=4,
    color="#9db1d6",
    edgecolor="#1f3b73",
)
for i, kind in enumerate(masks.KINDS):
    if least := {"right-half": 70, "random": 95}.get(kind):
        left.hlines(
            least, i - 0.45, i + 0.45, color="#d95f02", linestyles="--", label="expected at least" if i == 0 else None
        )
left.set(ylabel="fills with the original's class, %", ylim=(0, 105), title="class kept")
left.set_xticks(range(3), masks.KINDS)
left.legend(fontsize=8, loc="lower right")
boxes = [tensors[name][i].flatten().numpy() for i in range(3) for name in ("miss", "others")]
drawn = right.boxplot(
    boxes, positions=[0.8, 1.2, 1.8, 2.2, 2.8, 3.2], widths=0.3, whis=(5, 95), showfliers=False, patch_artist=True
)
for j, box in enumerate(drawn["boxes"]):
    box.set(facecolor="#9db1d6" if j % 2 == 0 else "white", hatch="" if j % 2 == 0 else "//")
right.set(ylabel="RMS of unknown pixels", ylim=(0, None), title="distance to the truth")
right.set_xticks([1, 2, 3], masks.KINDS)
right.legend(drawn["boxes"][:2], ["fills", "other images"], fontsize=8)
plt.show()

# %% [markdown]
# *Left: the share of fills in which the classifier sees the original's class, with two standard errors over images. Right: how far fills
# (filled boxes) and other images (hatched) are from the truth, in the unknown pixels; boxes hold the middle half, whiskers 90 %.*
#
# ### Watch it
#
# The four live fills, step by step, behind each mask. Follow the second panel: the known pixels jump once a level, to a $\mathbf y$ with
# less noise, and stand still in between. Then the fills: at which level do they part? Compare the masks in the right panel:
# behind which does the fills' spread stop falling first, and why that one?

# %%
inpainting_explorer(image, hidden, live_runs)

# %% [markdown]
# ## What does Algorithm 2 sample?
#
# "Put the known pixels back" sounds like conditioning. Is it? We have an example where the answer is known. In the mixture
# of chapter 4, $\frac15\,\mathcal N((-5,-5), I) + \frac45\,\mathcal N((5,5), I)$, let the first coordinate be known, $x_1 = a$. Then the second is
# distributed as
#
# $$p(x_2\mid x_1 = a) = (1-w)\,\mathcal N(-5, 1) + w\,\mathcal N(5, 1),\qquad
# \log\frac{w}{1-w} = \log 4 + \frac{(a+5)^2 - (a-5)^2}{2} = \log4 + 10\,a .$$
#
# For $a = 0$ that is 1 : 4, as without knowing anything; for $a = 1$ it is all but certain that $x_2$ is near 5.
#
# And Algorithm 2? At level $\sigma$ its chains move under $q_\sigma(\tilde x_2\mid\tilde x_1 = y)$, where the components have variance
# $1+\sigma^2$. The log odds of the upper mode are then not $\log 4 + 10a$, but $\log 4 + 10\,y/(1+\sigma^2)$, with $y = a +
# \sigma z$: they are weakened by the noise, and they are random. If chains could settle at the last level, nothing of that would
# matter. But chapter 4 showed that the mode is *frozen* long before.
#
# *Expected:* each mode of the fills has the right width, $\sqrt{1+\sigma_L^2}$, within 5 %. Their weights are those of the levels at which
# chains freeze, and so wrong: with $a = 0$, where noise can only take certainty away *on average over z*, below 0.8.

# %%
mixture = paper_mixture()
ladder = geometric_sigmas(20.0, 0.2, 14)
N_CHAINS = 10_000


def normal_below(x):
    return 0.5 * (1 + torch.erf(torch.as_tensor(x, dtype=torch.float64) / math.sqrt(2)))


def fill_second(a, n_steps=100):
    """Fills of (a, ?), and, level by level, the share above 0 beside that of q_σ(x₂ | x₁ = y)."""
    generator, share, own = seeded(30), [], []
    x = 16 * torch.rand(N_CHAINS, 2, generator=generator) - 8
    settings = {"image": torch.tensor([a, 0.0]), "mask": torch.tensor([True, False]), "generator": generator}
    for state in inpaint(mixture.score, x, ladder, step_size=0.01, n_steps=n_steps, **settings):
        if state.step == n_steps:
            s = 1 + state.sigma**2
            w = torch.sigmoid(math.log(4) + 10 * state.x[:, 0].double() / s)
            above = normal_below(5 / math.sqrt(s))
            share.append(float((state.x[:, 1] > 0).float().mean()))
            own.append(float((w * above + (1 - w) * (1 - above)).mean()))
    return state.x, share, own


known_values = (0.0, 0.5, 1.0, 3.0)
filled = {a: fill_second(a) for a in known_values}
exact = {a: float(torch.sigmoid(torch.tensor(math.log(4) + 10 * a))) for a in known_values}

ends, share, own = filled[0.0]
upper = ends[ends[:, 1] > 0, 1]
assert abs(float(upper.std()) / math.sqrt(1 + 0.2**2) - 1) < 0.05 and abs(float(upper.mean()) - 5) < 0.1
assert share[-1] < exact[0.0] - 0.05  # ten times the standard error of 0.005
for a in known_values:
    print(f"known x₁ = {a:g}: weight of the upper mode exactly {exact[a]:.3f}, by Algorithm 2 {filled[a][1][-1]:.2f}")

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.4), layout="constrained", sharey=True)
for ax, a in zip(axes, (0.0, 1.0), strict=True):
    _, share, own = filled[a]
    ax.semilogx(ladder, own, "s:", color="#d95f02", ms=4, label=r"exact $q_\sigma(\cdot\,|\,y)$, mean over $y$")
    ax.semilogx(ladder, share, "o-", color="#1f3b73", ms=4, label="fills")
    ax.axhline(exact[a], color="k", linestyle="--", lw=1, label="exact, given $x_1$")
    ax.set(xlabel=r"level $\sigma$ (falling)", title=f"known: $x_1 = {a:g}$", ylim=(0.45, 1.03))
    ax.invert_xaxis()
axes[0].set_ylabel("share with $x_2 > 0$")
axes[1].legend(fontsize=8, loc="lower right")
plt.show()

# %% [markdown]
# *The share of fills above zero at the end of each level (circles), beside what the level's own target asks for (squares) and the exact
# conditional of the clean data (dashed). While chains move between the modes, circles follow squares; where they freeze, they stay.*
#
# So Algorithm 2 is not exact. It fills with *plausible* values, each mode with its right shape, but the choice *between* modes is made at a
# large σ, by a known coordinate that is still buried in noise. What saves it on images is their number of known pixels. One coordinate with
# noise of σ = 3 says little; if $n$ pixels vote, their log odds grow like $n$ and the noise in them like $\sqrt n$. Half a digit has mostly decided
# what it can be before the chains freeze. But where a fill contradicts its known half, this mechanism may be at work, and not the
# network. (Later work goes back up the ladder now and then, so that a choice can be mended.)
#
# ## Exercises
#
# 1. **Draw y anew** (10 min). Let `algorithm_2` draw $\mathbf y$ at *every* step instead of once a level. Predict what this does to the
#    known pixels' pull on the unknown ones in the mixture, then measure its weight at $a = 0$ and $a = 1$.
# 2. **No noise on y** (10 min). Put back the clean pixels at all levels. In the mixture the log odds at level σ are then $\log 4 +
#    10a/(1+\sigma^2)$: for which $a$ is this better? Then try it on the digits. What does the network make of clean pixels beside noisy ones?
# 3. **Super-resolution** (15 min). Suppose that only the mean of every 2 × 2 block of a digit is known. Which part of the state would you
#    overwrite after each step, and with which noise? (The mean of four pixels with noise σ has noise σ/2.)
# 4. **More votes** (15 min). Repeat the mixture in $2n$ dimensions, with all entries of the means ±5/√n, half of the coordinates known
#    and at $x = 1/\sqrt n$. Does the weight get better with $n$? Explain, before you run it, why *this* is no model of an image.

# %%
# Space for exercise 1: the fills of (1, ?) so far.
my_fills = filled[1.0][0]

# %% [markdown]
# <details><summary>A hint for exercise 1</summary>
#
# A chain that moves slowly against changing pushes feels their mean. The mean of the score over $y$ is not the score at the mean of $y$.
#
# </details>
#
# <details><summary>A hint for exercise 3</summary>
#
# Split the state into block means and what is left: `means = avg_pool2d(x, 2)`, `x − upsampled means`. The two are independent coordinates
# (a rotation, up to scale), so the same algorithm applies with the means as the known ones.
#
# </details>
#
# <details><summary>A hint for exercise 4</summary>
#
# Only one direction tells the two modes apart, whatever the number of coordinates; a rotation brings this back to two dimensions.
#
# </details>
#
# ## What to read next
#
# Chapter 9 turns to the numbers of Table 1, and to how robust they are.
#
# - Y. Song and S. Ermon, *Generative Modeling by Estimating Gradients of the Data Distribution*, NeurIPS 2019, § 5 and appendices B.3, C.5.
# - A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016: images pixel by pixel.
# - A. Lugmayr and others, *RePaint: Inpainting using Denoising Diffusion Probabilistic Models*, CVPR 2022: going back up the ladder.
