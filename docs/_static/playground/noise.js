// Random numbers and ladders of noise, for the playground and for the page that draws digits.
const Noise = (() => {
  'use strict';

  // xoshiro128++ (Blackman & Vigna 2019), its state filled from a seed by splitmix32.
  class Random {
    constructor(seed) {
      this.state = new Int32Array(4);
      for (let i = 0, s = seed | 0; i < 4; i++) {
        s = (s + 0x9e3779b9) | 0;
        let t = Math.imul(s ^ (s >>> 16), 0x21f0aaad);
        t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
        this.state[i] = t ^ (t >>> 15);
      }
    }

    // A whole number from −2³¹ to 2³¹ − 1.
    next() {
      const s = this.state, sum = (s[0] + s[3]) | 0, result = (((sum << 7) | (sum >>> 25)) + s[0]) | 0, t = s[1] << 9;
      s[2] ^= s[0];
      s[3] ^= s[1];
      s[1] ^= s[2];
      s[0] ^= s[3];
      s[2] ^= t;
      s[3] = (s[3] << 11) | (s[3] >>> 21);
      return result;
    }

    // Uniform on (0, 1), in steps of 2⁻³².
    uniform() {
      return (this.next() + 2147483648.5) / 4294967296;
    }

    // Fill z, of even length, with standard normal numbers by the polar method (Marsaglia & Bray 1964).
    normals(z) {
      for (let i = 0; i < z.length;) {
        const u = this.next() / 2147483648, v = this.next() / 2147483648, square = u * u + v * v;
        if (square >= 1 || square === 0) continue;
        const scale = Math.sqrt(-2 * Math.log(square) / square);
        z[i++] = scale * u;
        z[i++] = scale * v;
      }
      return z;
    }
  }

  // The geometric ladder σ_1 > … > σ_L; one level is σ_L alone.
  const geometricSigmas = (first, last, n) =>
    Array.from({length: n}, (_, i) => i === n - 1 ? last : first * (last / first) ** (i / (n - 1)));

  return {Random, geometricSigmas};
})();
