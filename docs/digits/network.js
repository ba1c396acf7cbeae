// Chapter 8's network and its step, without a page. Images (28, 28), and maps of the network's channels (64, 7, 7), are
// flat Float32Arrays, one row after another. The tests compare it with the package.
const Digits = (() => {
  'use strict';

  const SIDE = 28, PATCH = 4, ROWS = 7, PLACES = ROWS * ROWS, WIDTH = 64, GROUPS = 4, BLOCKS = 4;
  const ANY = 10;  // the label of no class

  // --- the file of weights -----------------------------------------------------------------------------------------

  // A number in half precision (IEEE 754), none of which is infinite, by its bits.
  const half = bits => {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = bits & 0x8000 ? -1 : 1;
    return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
  };

  // The tensors of a safetensors file in half precision, by name, and what it says of the network.
  const read = bytes => {
    const view = new DataView(bytes.buffer, bytes.byteOffset), head = 8 + view.getUint32(0, true);
    const {__metadata__: {facts}, ...places} = JSON.parse(new TextDecoder().decode(bytes.subarray(8, head)));
    const tensors = {};
    for (const [name, {data_offsets: [from, to]}] of Object.entries(places)) {
      const bits = i => view.getUint16(head + from + 2 * i, true);
      tensors[name] = Float32Array.from({length: (to - from) / 2}, (_, i) => half(bits(i)));
    }
    const {sigmas, arguments: {mean, variance}} = JSON.parse(facts).architecture;
    return {tensors, sigmas, mean, variance};
  };

  // --- layers ------------------------------------------------------------------------------------------------------

  const silu = x => x.map(value => value / (1 + Math.exp(-value)));
  const row = i => Math.floor(i / PLACES);  // of a map: the channel

  // a bᵀ (r, m), of a (r, n), r a multiple of four, and b (m, n). Four rows of a meet two of b at once, so that each is
  // read less often; of an odd number of rows of b, the last meets them twice.
  const product = (a, b, n) => {
    const m = b.length / n, out = new Float32Array(a.length / n * m);
    for (let i = 0, top = 0; i < a.length; i += 4 * n, top += 4 * m) {
      for (let j = 0; j < m; j += 2) {
        const next = Math.min(j + 1, m - 1);
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
        for (let k = 0; k < n; k++) {
          const a0 = a[i + k], a1 = a[i + n + k], a2 = a[i + 2 * n + k], a3 = a[i + 3 * n + k];
          const s = b[j * n + k], t = b[next * n + k];
          s0 += a0 * s;
          s1 += a1 * s;
          s2 += a2 * s;
          s3 += a3 * s;
          t0 += a0 * t;
          t1 += a1 * t;
          t2 += a2 * t;
          t3 += a3 * t;
        }
        out[top + j] = s0;
        out[top + m + j] = s1;
        out[top + 2 * m + j] = s2;
        out[top + 3 * m + j] = s3;
        out[top + next] = t0;
        out[top + m + next] = t1;
        out[top + 2 * m + next] = t2;
        out[top + 3 * m + next] = t3;
      }
    }
    return out;
  };

  // Of a vector; of a map, over all places of each channel; and of a map, over the places around each place.
  const linear = (x, weight, bias) => product(weight, x, x.length).map((value, i) => value + bias[i]);
  const far = (x, weight, bias) => product(x, weight, PLACES).map((value, i) => value + bias[i % PLACES]);
  const seen = new Float32Array(9 * WIDTH * PLACES);  // one for all calls, which is quicker
  const convolution = (x, weight, bias) => {
    const n = weight.length / bias.length, kernel = n * PLACES / x.length, near = NEAR[kernel];
    for (let p = 0, to = 0; p < PLACES; p++) {
      for (let channel = 0; channel < x.length; channel += PLACES) {
        for (let k = 0; k < kernel; k++, to++) {
          const place = near[p * kernel + k];
          seen[to] = place < 0 ? 0 : x[channel + place];
        }
      }
    }
    return product(weight, seen.subarray(0, n * PLACES), n).map((value, i) => value + bias[row(i)]);
  };

  // For each place, those that a kernel sees around it, by the number of these; −1 is beyond the edge.
  const around = reach => Array.from({length: PLACES}, (_, p) => reach.flatMap(dy => reach.map(dx => {
    const y = Math.floor(p / ROWS) + dy, x = p % ROWS + dx;
    return y >= 0 && y < ROWS && x >= 0 && x < ROWS ? y * ROWS + x : -1;
  }))).flat();
  const NEAR = {1: around([0]), 9: around([-1, 0, 1])};

  const groupNorm = (x, weight, bias) => {
    const out = new Float32Array(x.length), size = x.length / GROUPS;
    for (let from = 0; from < x.length; from += size) {
      const group = x.subarray(from, from + size), mean = group.reduce((a, b) => a + b) / size;
      const variance = group.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size;
      const scale = 1 / Math.sqrt(variance + 1e-5);
      for (let i = from; i < from + size; i++) {
        out[i] = (x[i] - mean) * scale * weight[row(i)] + bias[row(i)];
      }
    }
    return out;
  };

  // Where `PixelUnshuffle(4)` puts pixel i: each of a place's 4 × 4 pixels is a channel.
  const unshuffled = Int32Array.from({length: SIDE * SIDE}, (_, i) => {
    const x = i % SIDE, y = Math.floor(i / SIDE), channel = PATCH * (y % PATCH) + x % PATCH;
    return channel * PLACES + Math.floor(y / PATCH) * ROWS + Math.floor(x / PATCH);
  });

  // --- the network and its step ------------------------------------------------------------------------------------

  // s(x, σ, label) of the weights.
  const scoreOf = ({tensors, mean, variance}) => {
    const layer = (name, f, x) => f(x, tensors[`${name}.weight`], tensors[`${name}.bias`]);
    const block = (h, level, name) => {
      let x = layer(`${name}.near.2`, convolution, silu(layer(`${name}.near.0`, groupNorm, h)));
      const behind = layer(`${name}.far`, far, x), change = layer(`${name}.level`, linear, level);
      x = layer(`${name}.norm`, groupNorm, x.map((value, i) => value + behind[i]));
      x = x.map((value, i) => (1 + change[row(i)]) * value + change[WIDTH + row(i)]);
      x = layer(`${name}.end.1`, convolution, silu(x));
      return x.map((value, i) => h[i] + value);
    };
    return (x, sigma, label = ANY) => {
      const noisy = variance + sigma * sigma, pixels = new Float32Array(x.length);
      unshuffled.forEach((to, i) => { pixels[to] = (x[i] - mean) / Math.sqrt(noisy); });
      const size = WIDTH * PLACES, ofLabel = tensors['label.0.weight'].subarray(label * size, (label + 1) * size);
      let h = layer('begin.1', convolution, pixels).map((value, i) => value + ofLabel[i]);
      let level = silu(layer('level.0', linear, Float32Array.of(Math.log(sigma))));
      level = silu(layer('level.2', linear, level));
      for (let i = 0; i < BLOCKS; i++) h = block(h, level, `blocks.${i}`);
      const end = layer('end.1', convolution, silu(h)), scale = Math.sqrt(variance / noisy) / sigma;
      return x.map((value, i) => (mean - value) / noisy + scale * end[unshuffled[i]]);
    };
  };

  // Guidance: s(x, σ) + w (s(x, σ, label) − s(x, σ)).
  const guided = (score, x, sigma, label, w) => {
    const ofAny = score(x, sigma);
    if (label === ANY) return ofAny;
    const ofClass = score(x, sigma, label);
    return ofAny.map((value, i) => value + w * (ofClass[i] - value));
  };

  // One step a level. The guess is x + σ² s(x, σ), in which known pixels, those where `known` is a number, are put back
  // (chapter 10); then comes noise z of the next level, `kicks` times as large. Yields {x, sigma, guess} of each level,
  // and of the end, where the noise is 0.
  async function* chain({score, sigmas, mean, known = [], kicks = 1, normals}) {
    const kicked = (x, size) => {
      const z = normals();
      return x.map((value, i) => value + size * z[i]);
    };
    const repaired = x => x.map((value, i) => known[i] ?? value);
    let x = kicked(repaired(new Float32Array(SIDE * SIDE).fill(mean)), sigmas[0]);
    for (const [i, sigma] of sigmas.entries()) {
      const s = await score(x, sigma);
      const guess = repaired(x.map((value, j) => value + sigma * sigma * s[j]));
      yield {x, sigma, guess};
      x = kicked(guess, kicks * (sigmas[i + 1] ?? 0));
    }
    yield {x, sigma: 0, guess: x};
  }

  // In a worker: the first message is the file of weights, and is answered by what it says; each later one asks for a
  // score, and is answered by it.
  const answer = worker => {
    let score;
    worker.onmessage = ({data: {bytes, x, sigma, label, w}}) => {
      if (bytes) {
        const {tensors, ...facts} = read(bytes);
        score = scoreOf({tensors, ...facts});
        worker.postMessage(facts);
      } else {
        worker.postMessage(guided(score, x, sigma, label, w));
      }
    };
  };

  return {SIDE, ANY, read, scoreOf, guided, chain, answer};
})();
