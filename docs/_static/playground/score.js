// The playground's formulas, each once: mixtures under noise, Langevin dynamics, and what theory says of both.
// Nothing here touches a page. Points are flat, x₁ y₁ x₂ y₂ …, in Float64Arrays. The tests compare it with the package.
const Score = (() => {
  'use strict';

  // --- mixtures ----------------------------------------------------------------------------------------------------

  // e^(−t) for 0 ≤ t < REACH, to 2e-11 of itself, in a fifth of the time of Math.exp: a table, and a parabola between.
  const REACH = 40, PER_UNIT = 1024;
  const EXPONENTIALS = Float64Array.from({length: REACH * PER_UNIT + 1}, (_, i) => Math.exp(-i / PER_UNIT));

  // p(x) = Σ_k π_k N(x | μ_k, v_k I) in the plane, and under noise q_σ(x) = Σ_k π_k N(x | μ_k, (v_k + σ²) I).
  class Mixture {
    constructor(weights, means, stds) {
      const n = weights.length;
      this.weights = Float64Array.from(weights);
      this.means = Float64Array.from(means);
      this.stds = Float64Array.from(stds);
      this.precisions = new Float64Array(n);  // 1/(s_k² + σ²), and the logarithms of the components' heights
      this.heights = new Float64Array(n);
      this.joint = new Float64Array(n);
    }

    // n exact samples of q_σ.
    sample(n, sigma, random) {
      const x = random.normals(new Float64Array(2 * n)), last = this.weights.length - 1;
      for (let i = 0; i < n; i++) {
        let k = 0;
        for (let u = random.uniform() - this.weights[0]; u > 0 && k < last; u -= this.weights[k]) k++;
        const std = Math.hypot(this.stds[k], sigma);
        x[2 * i] = this.means[2 * k] + std * x[2 * i];
        x[2 * i + 1] = this.means[2 * k + 1] + std * x[2 * i + 1];
      }
      return x;
    }

    // log q_σ(x) and the score ∇ log q_σ(x) = Σ_k r_k(x) (μ_k − x)/(s_k² + σ²), r_k the posterior of component k, at
    // the points of x: into logDensity (n) and score (2n), of which either may be null.
    evaluate(x, sigma, logDensity, score) {
      const {weights, means, stds, precisions, heights, joint} = this, n = weights.length;
      for (let k = 0; k < n; k++) {
        precisions[k] = 1 / (stds[k] * stds[k] + sigma * sigma);
        heights[k] = Math.log(weights[k] * precisions[k] / (2 * Math.PI));
      }
      for (let i = 0; i < x.length; i += 2) {
        const x1 = x[i], x2 = x[i + 1];
        let highest = -Infinity;
        for (let k = 0; k < n; k++) {
          const d1 = means[2 * k] - x1, d2 = means[2 * k + 1] - x2;
          const value = heights[k] - 0.5 * precisions[k] * (d1 * d1 + d2 * d2);
          joint[k] = value;
          if (value > highest) highest = value;
        }
        let sum = 0, pull = 0, pull1 = 0, pull2 = 0;
        for (let k = 0; k < n; k++) {
          const t = highest - joint[k];
          if (!(t < REACH)) continue;  // less than 1e-17 of the sum
          const entry = (t * PER_UNIT + 0.5) | 0, rest = entry * (1 / PER_UNIT) - t;
          const r = EXPONENTIALS[entry] * (1 + rest * (1 + 0.5 * rest));
          const pulled = r * precisions[k];
          sum += r;
          pull += pulled;
          pull1 += pulled * means[2 * k];
          pull2 += pulled * means[2 * k + 1];
        }
        if (logDensity) logDensity[i >> 1] = highest + Math.log(sum);
        if (score) {
          score[i] = (pull1 - pull * x1) / sum;
          score[i + 1] = (pull2 - pull * x2) / sum;
        }
      }
    }

    // q_σ at the middles of n × n squares that fill [−extent, extent]², in the order of a picture's pixels, its highest
    // value 1. A component is the product of a function of x₁ and one of x₂, so that 2n exponentials give n² values.
    picture(extent, n, sigma) {
      const {weights, means, stds} = this, values = new Float64Array(n * n), side = 2 * extent / n;
      const across = new Float64Array(n), down = new Float64Array(n);
      for (let k = 0; k < weights.length; k++) {
        const precision = 1 / (stds[k] * stds[k] + sigma * sigma);
        for (let i = 0; i < n; i++) {
          const place = (i + 0.5) * side - extent;
          across[i] = Math.exp(-0.5 * precision * (place - means[2 * k]) ** 2);
          down[i] = weights[k] * precision * Math.exp(-0.5 * precision * (-place - means[2 * k + 1]) ** 2);
        }
        for (let row = 0; row < n; row++) {
          if (down[row] < 1e-9 * weights[k] * precision) continue;  // less than can be seen
          for (let i = 0; i < n; i++) values[n * row + i] += down[row] * across[i];
        }
      }
      const highest = values.reduce((a, b) => Math.max(a, b), 0);
      return values.map(value => value / highest);
    }
  }

  // --- Langevin dynamics -------------------------------------------------------------------------------------------

  // Chains at x (2n), with room for what a step needs.
  class Chains {
    constructor(x, random) {
      const n = x.length / 2;
      this.n = n;
      this.random = random;
      this.x = x;
      this.moved = new Float64Array(2 * n);
      this.noise = new Float64Array(2 * n);
      this.score = new Float64Array(2 * n);
      this.movedScore = new Float64Array(2 * n);
      this.logDensity = new Float64Array(n);
      this.movedLogDensity = new Float64Array(n);
    }

    // x ← x + (ε/2) s(x, σ) + √ε z (Eq. 4), s the score of the mixture under noise σ.
    langevin(mixture, sigma, stepSize) {
      mixture.evaluate(this.x, sigma, null, this.score);
      this.propose(stepSize, this.x);
    }

    // The same as a proposal, taken with probability min{1, p(y) q(x|y) / (p(x) q(y|x))}; returns the share taken.
    metropolis(mixture, sigma, stepSize) {
      const {x, moved, score, movedScore, logDensity, movedLogDensity, n} = this;
      mixture.evaluate(x, sigma, logDensity, score);
      this.propose(stepSize, moved);
      mixture.evaluate(moved, sigma, movedLogDensity, movedScore);
      let taken = 0;
      for (let i = 0; i < n; i++) {
        let there = 0, back = 0;  // −2ε log q(y|x) and −2ε log q(x|y), but for one constant
        for (let j = 2 * i; j < 2 * i + 2; j++) {
          there += (moved[j] - x[j] - stepSize / 2 * score[j]) ** 2;
          back += (x[j] - moved[j] - stepSize / 2 * movedScore[j]) ** 2;
        }
        const logRatio = movedLogDensity[i] - logDensity[i] + (there - back) / (2 * stepSize);
        if (Math.log(this.random.uniform()) < logRatio) {
          x[2 * i] = moved[2 * i];
          x[2 * i + 1] = moved[2 * i + 1];
          taken++;
        }
      }
      return taken / n;
    }

    propose(stepSize, into) {
      const {x, score, noise} = this, half = stepSize / 2, root = Math.sqrt(stepSize);
      this.random.normals(noise);
      for (let i = 0; i < x.length; i++) into[i] = x[i] + half * score[i] + root * noise[i];
    }

    // The largest coordinate in size; Infinity where one is no number.
    size() {
      let largest = 0;
      for (const value of this.x) if (!(Math.abs(value) <= largest)) largest = Math.abs(value);
      return largest === largest ? largest : Infinity;
    }
  }

  // The n points where chains start: uniform on [−8, 8]², as the paper's.
  const uniformStart = (n, random) => Float64Array.from({length: 2 * n}, () => 16 * random.uniform() - 8);

  // Algorithm 1, a step at a time: `level` from 0 and `step`, the steps done at it.
  class Annealing {
    constructor(mixture, chains, sigmas, stepSize, nSteps) {
      Object.assign(this, {mixture, chains, sigmas, stepSize, nSteps, level: 0, step: 0});
      this.limit = GROWTH * Math.max(chains.size(), sigmas[0]);
      this.diverged = false;
    }

    get sigma() {
      return this.sigmas[this.level];
    }

    get done() {
      return this.diverged || (this.level === this.sigmas.length - 1 && this.step === this.nSteps);
    }

    // One step of size α_i = ε σ_i²/σ_L²; a level begins with the first step after the last of the one before.
    advance() {
      if (this.step === this.nSteps) {
        this.level++;
        this.step = 0;
      }
      const {sigma, sigmas, stepSize} = this;
      this.chains.langevin(this.mixture, sigma, stepSize * (sigma / sigmas[sigmas.length - 1]) ** 2);
      this.step++;
      this.diverged = !(this.chains.size() <= this.limit);
    }
  }
  const GROWTH = 1e6;  // beyond so many times its starting scale, a run has diverged

  // --- theory ------------------------------------------------------------------------------------------------------

  // The stationary variance of Langevin dynamics on N(0, vI): v/(1 − ε/(4v)), Infinity where it has none.
  const langevinVariance = (stepSize, v) => stepSize < 4 * v ? v / (1 - stepSize / (4 * v)) : Infinity;

  // The bound on Algorithm 1's ε for Gaussian data of variance v: 4 σ_L² (1 + v/σ_1²).
  const largestStableStep = (sigmas, v) => 4 * sigmas[sigmas.length - 1] ** 2 * (1 + v / sigmas[0] ** 2);

  // Φ(x) = ½ + φ(x) (x + x³/3 + x⁵/(3·5) + …), the normal distribution function.
  const normalCdf = x => {
    if (Math.abs(x) > 8) return x > 0 ? 1 : 0;
    let sum = 0;
    for (let term = x, n = 1; sum + term !== sum; n += 2, term *= x * x / n) sum += term;
    return 0.5 + sum * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  };

  // The mass of (1 − π) N(a, vI) + π N(b, vI) nearer to b than to a: the half-plane's, for means so far apart.
  const nearerMass = (w, distance, std) => {
    const far = normalCdf(-distance / (2 * std));
    return w * (1 - far) + (1 - w) * far;
  };

  return {Mixture, Chains, Annealing, uniformStart, langevinVariance, largestStableStep, normalCdf, nearerMass, GROWTH};
})();
