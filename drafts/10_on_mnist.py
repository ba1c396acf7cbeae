# %% [markdown]
# ## On MNIST
#
# The same comparison on a RefineNet that was trained as NCSNv2 prescribes, at a width of 16: output divided by σ, no
# σ inside, the ladder of technique 2 from $\sigma_1 = 16$, averaged weights. Now the distance is in the features of
# our classifier of digits, to 10,000 test digits, and the classifier's confidence is beside it. This took hours and
# is recorded: `python -m sbgm evaluate --curve mnist_ncsnv2` does it again. Algorithm 1 is run on the paper's ladder,
# 1 → 0.01, and on the network's own.

# %%
from sbgm.experiments.recorded.curve import load_curve
from sbgm.experiments.recorded.curve_entries import draw_entry, entries
from sbgm.explorers import sampler_curve_explorer

curve = load_curve("mnist_ncsnv2")  # raises if it was measured with another network than ships
slow, fast = curve.algorithm_1(), curve.fast()
ncsnv2 = load_network("mnist_ncsnv2")
assert float(ncsnv2.sigmas[0]) == 16
assert len(ncsnv2.sigmas) == count_levels(16, 0.01, 784)
assert {p.label for p in curve.points} == {e.label for e in entries(ncsnv2.sigmas)}

# %% tags=["nbval-ignore-output"]
print(curve)
for name, point in (("Algorithm 1 at its best", slow), ("the best with a tenth of that", fast)):
    print(
        f"{name}: {point.label}, {point.evaluations} evaluations: distance {point.distance:.3g} ± {2 * point.se:.2g}, "
        f"sure of {point.sure:.0%}"
    )

# %%
markers = ["o-", "s--", "^:", "D-.", "v-", "P--", "X:", "<-.", ">-", "h--", "*-", "d:", "p-.", "8-", "x--", "+:"]
fig, axes = plt.subplots(1, 2, figsize=(10, 5.2), layout="constrained")
shades = plt.get_cmap("viridis")
for i, label in enumerate(curve.labels()):
    points, colour = curve.curve(label), shades(i / len(curve.labels()))
    cost = [p.evaluations for p in points]
    style = {"fmt": markers[i % len(markers)], "color": colour, "ms": 5, "lw": 1}
    axes[0].errorbar(cost, [p.distance for p in points], [2 * p.se for p in points], label=label, **style)
    axes[1].plot(cost, [p.sure for p in points], style["fmt"], color=colour, ms=5, lw=1)
axes[0].axhline(slow.distance, color="k", linestyle="--", lw=1, label="Algorithm 1 at its best")
axes[0].set(yscale="log", ylabel="Fréchet distance, classifier features")
axes[1].set(ylabel="share that the classifier is 90 % sure of", ylim=(0, 1))
for ax in axes:
    ax.set(xscale="log", xlabel="evaluations of the network")
    ax.set_xticks([10, 20, 50, 100, 1_000], ["10", "20", "50", "100", "1,000"])
    ax.minorticks_off()
fig.legend(loc="outside lower center", ncols=3, fontsize=8)
plt.show()

# %% [markdown]
# *Every sampler on MNIST: 1,000 samples a point, two standard errors. "renewing" is the family of this chapter with
# its $c$; "not clamped" leaves the network's guess at the clean image where it is, the others keep it within [0, 1].*
#
# Turn to the samples themselves:

# %%
sampler_curve_explorer(curve)

# %% [markdown]
# *Left: stored samples of the sampler and the cost that you choose. Right: all curves, and where you are.*
#
# And one point measured anew: twenty-four samples by the fast sampler, with other noise. So few say nothing about a
# distance; the classifier's share should agree with the record's.

# %%
import tempfile
from pathlib import Path

from sbgm.experiments import load_classifier
from sbgm.metrics import in_batches, shown
from sbgm.metrics.shares import share

wanted = entries(ncsnv2.sigmas)
entry = next(e for e in wanted if (e.label, e.evaluations) == (fast.label, fast.evaluations))
with tempfile.TemporaryDirectory() as folder:
    (fresh,) = draw_entry(entry, ncsnv2, mnist[:1_000], Path(folder), 24, batch_size=24, seed=1)
sure = int((in_batches(load_classifier(), shown(fresh)).softmax(dim=1).amax(dim=1) >= 0.9).sum())
within = share(sure, 24, confidence=0.9999)
assert within.low <= fast.sure <= within.high, (sure, fast.sure)

fig, ax = plt.subplots(figsize=(7, 1.9), layout="constrained")
plots.draw_images(ax, fresh, n_columns=12)
plt.show()

# %% [markdown]
# *Twenty-four uncurated samples, drawn a moment ago.*

