// The playground: fills each <div class="playground" data-scene="…"> of a page with a scene that a reader plays with.
(() => {
  'use strict';

  const {Random, geometricSigmas} = Noise, {Mixture, Chains, Annealing} = Score, {text} = Draw;
  const STEP_MILLISECONDS = 8;  // of each frame: a slow or busy machine, or very many points, get fewer steps a frame
  const MOST_POINTS = 300;
  const calm = matchMedia('(prefers-reduced-motion: reduce)');

  // --- what a scene is made of -------------------------------------------------------------------------------------

  const range = (name, label, from, to, value, step = 1) => ({name, label, kind: 'range', from, to, value, step});
  const logarithmic = (...all) => ({...range(...all, 0.02), log: true});
  const choice = (name, label, options) => ({name, label, kind: 'select', options, value: Object.keys(options)[0]});
  const check = (name, label, value) => ({name, label, kind: 'check', value});
  const SEED = {name: 'seed', label: 'seed', kind: 'number', value: 0};
  const WEIGHT = range('weight', 'weight π (second)', 0.05, 0.95, 0.8, 0.05);
  const CHAINS = range('chains', 'chains', 100, 2000, 1280, 20);
  const SPEED = range('speed', 'steps a frame', 1, 50, 4);

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  const percent = share => `${Math.round(100 * share)}\u00a0%`;
  const twoErrors = (share, n) => `${share.toFixed(2)} ± ${(2 * Math.sqrt(share * (1 - share) / n)).toFixed(2)}`;
  const squared = (x, i, means, k) => (x[2 * i] - means[2 * k]) ** 2 + (x[2 * i + 1] - means[2 * k + 1]) ** 2;
  const shareOf = (n, is) => {
    let count = 0;
    for (let i = 0; i < n; i++) if (is(i)) count++;
    return count / n;
  };
  const nearerToSecond = (x, means) => shareOf(x.length / 2, i => squared(x, i, means, 1) < squared(x, i, means, 0));
  const gaussian = (u, mean, v) => Math.exp(-((u - mean) ** 2) / (2 * v)) / Math.sqrt(2 * Math.PI * v);
  const axisOf = (from, to, n = 160) => Array.from({length: n + 1}, (_, i) => from + (to - from) * i / n);

  // A scene: controls, a plane with handles, a chart, a readout. Its kind says what is in them:
  //   controls; first: the names of three that are seen, where the others lie behind "more"
  //   live: names of those that need no new start; handles: [{name, at}]; alt
  //   begin(): a new start;  step(): one step;  done: nothing is left to do
  //   groups(): points to draw;  chart(fit);  readout()
  class Scene {
    static framesPerChart = 4;

    constructor(root) {
      this.root = root;
      this.handles = this.constructor.handles();
      this.values = {};
      this.frames = 0;
      this.playing = this.visible = false;
      this.build();
      this.reset();
      new ResizeObserver(() => this.draw()).observe(this.plane.still);
      new IntersectionObserver(([{isIntersecting}]) => {
        this.visible = isIntersecting;
        this.wake();
      }).observe(this.stage);
    }

    static handles() {
      return [];
    }

    // --- the page's elements

    build() {
      const still = element('canvas'), moving = element('canvas', {role: 'img', 'aria-label': this.constructor.alt});
      this.stage = element('div', {class: 'plane'}, still, moving);
      this.plane = new Draw.Plane(still, moving);
      this.side = element('canvas', {role: 'img', 'aria-label': this.constructor.chartAlt});
      this.words = element('p', {class: 'readout'});
      const button = (label, does, name = '') => {
        const made = element('button', {type: 'button', class: name}, label);
        made.addEventListener('click', does);
        return made;
      };
      this.playButton = button('Play', () => this.playing ? this.pause() : this.play(), 'play');
      const buttons = element('div', {class: 'buttons'}, this.playButton, button('Step', () => this.oneStep()),
        button('End', () => this.finish()), button('Restart', () => this.start()), button('Reset', () => this.reset()));
      this.inputs = new Map();
      const {controls, first} = this.constructor;
      const group = listed => element('div', {class: 'controls'}, ...listed.map(c => this.control(c)));
      const seen = group(controls.filter(({name}) => first.includes(name)));
      const more = element('details', {class: 'more'}, element('summary', {}, 'more'),
        group(controls.filter(({name}) => !first.includes(name))));
      this.root.replaceChildren(
        element('div', {class: 'pictures'}, this.stage, element('div', {class: 'chart'}, this.side)),
        this.words, buttons, seen, more);
      this.root.setAttribute('role', 'group');
      this.root.setAttribute('aria-label', `Playground: ${this.constructor.title}`);
      for (const handle of this.handles) this.buildHandle(handle);
    }

    control({name, label, kind, from, to, step, log, options}) {
      let input, shown = '';
      if (kind === 'select') {
        const entries = Object.entries(options);
        input = element('select', {}, ...entries.map(([value, words]) => element('option', {value}, words)));
      } else if (kind === 'range') {
        const [min, max] = log ? [Math.log10(from), Math.log10(to)] : [from, to];
        input = element('input', {type: 'range', min, max, step});
        shown = element('span', {class: 'value', 'aria-hidden': 'true'});  // the slider itself says it
      } else {
        input = element('input', kind === 'check' ? {type: 'checkbox'} : {type: 'number', min: 0, max: 999999});
      }
      const read = () => {
        if (kind === 'check') return input.checked;
        if (kind === 'select') return input.value;
        return log ? +(10 ** +input.value).toPrecision(3) : +input.value;
      };
      const show = () => {
        const value = this.values[name];
        if (kind === 'check') input.checked = value;
        else input.value = log ? Math.log10(value) : value;
        if (kind !== 'range') return;
        shown.textContent = text(value);
        input.setAttribute('aria-valuetext', text(value));
      };
      input.addEventListener('input', () => {
        this.values[name] = read();
        if (kind === 'range') show();
        this.changed(name);
      });
      this.inputs.set(name, show);
      const words = element('span', {}, label);
      const parts = {check: [input, words], range: [words, shown, input]}[kind] ?? [words, input];
      return element('label', {class: kind}, ...parts);
    }

    // A handle is a button that is dragged, or moved by the arrow keys.
    buildHandle(handle) {
      const made = element('button', {type: 'button', class: `handle ${handle.shape ?? ''}`});
      const moveTo = (x, y) => {
        handle.at = [x, y].map(value => Math.max(-7.9, Math.min(7.9, value)));
        this.placeHandles();
        this.changed(handle.name);
      };
      made.addEventListener('pointerdown', event => made.setPointerCapture(event.pointerId));
      made.addEventListener('pointermove', event => {
        if (made.hasPointerCapture(event.pointerId)) moveTo(...this.pointOf(event).map(v => +v.toFixed(1)));
      });
      made.addEventListener('keydown', event => {
        const direction = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
        if (!direction) return;
        event.preventDefault();
        const [x, y] = handle.at, step = event.shiftKey ? 1 : 0.2;
        moveTo(+(x + step * direction[0]).toFixed(2), +(y + step * direction[1]).toFixed(2));
      });
      handle.button = made;
      this.stage.append(made);
    }

    placeHandles() {
      for (const {button, at: [x, y], called, hidden} of this.handles) {
        button.style.left = `${50 * (1 + x / this.plane.extent)}%`;
        button.style.top = `${50 * (1 - y / this.plane.extent)}%`;
        button.hidden = Boolean(hidden?.(this.values));
        button.setAttribute('aria-label', `${called} at (${text(x)}, ${text(y)}); move it with the arrow keys`);
      }
    }

    // Where on the plane a pointer is.
    pointOf(event) {
      const box = this.stage.getBoundingClientRect(), {extent} = this.plane;
      const x = 2 * (event.clientX - box.left) / box.width - 1, y = 1 - 2 * (event.clientY - box.top) / box.height;
      return [x * extent, y * extent];
    }

    // --- running

    play() {
      if (this.done) this.start();
      this.playing = true;
      this.showPlaying();
      this.wake();
    }

    pause() {
      this.playing = false;
      this.showPlaying();
      this.draw();
    }

    showPlaying() {
      this.playButton.textContent = this.playing ? 'Pause' : 'Play';
      this.words.setAttribute('aria-live', this.playing ? 'off' : 'polite');
    }

    wake() {
      if (!this.awake && this.playing && this.visible) {
        this.awake = true;
        requestAnimationFrame(() => this.frame());
      }
    }

    frame() {
      this.awake = false;
      if (!this.playing) return;
      const until = performance.now() + STEP_MILLISECONDS, most = this.values.speed ?? 1;
      for (let made = 0; made < most && !this.done && performance.now() < until; made++) this.step();
      if (this.done) this.pause();
      else this.drawMoving(this.frames % this.constructor.framesPerChart === 0);
      this.frames++;
      this.wake();
    }

    oneStep() {
      if (this.done) this.start();
      if (!this.done) this.step();
      this.pause();
    }

    finish() {
      if (this.done) this.start();
      while (!this.done) this.step();
      this.pause();
    }

    start() {
      this.random = new Random(this.values.seed);
      this.begin();
      this.draw();
      this.wake();
    }

    reset() {
      for (const {name, value} of this.constructor.controls) this.values[name] = value;
      this.constructor.handles().forEach(({at}, i) => { this.handles[i].at = [...at]; });
      this.emptied?.();
      this.show();
      this.start();
      this.pause();
    }

    changed(name) {
      if (this.constructor.live.includes(name)) {
        this.refresh?.();
        this.draw();
        return;
      }
      const ended = this.done && this.frames > 0;  // what has played to its end is played again
      this.start();
      if (ended && !calm.matches) this.play();
    }

    // --- drawing

    show() {
      for (const show of this.inputs.values()) show();
    }

    draw() {
      if (!this.stage.clientWidth) return;
      this.paint = Draw.colours(this.root);
      this.drawnSigma = null;
      this.drawMoving(true);
    }

    drawMoving(withChart) {
      if (this.drawnSigma !== this.sigma) {
        this.drawnSigma = this.sigma;
        this.placeHandles();
        this.plane.background(this.mixture, this.sigma, this.constructor.shade, this.paint);
      }
      const top = this.plane.points(this.groups(), this.paint);
      this.over?.(top);
      if (!withChart) return;
      this.chart(Draw.fitted(this.side), this.paint);
      this.words.textContent = this.readout();
    }

    get sigma() {
      return 0;
    }
  }

  // --- two modes ---------------------------------------------------------------------------------------------------

  // The mixture of the handles, and what depends on it.
  class TwoModes extends Scene {
    static handles() {
      return [
        {name: 'first', called: 'First mode', at: [-5, -5]}, {name: 'second', called: 'Second mode', at: [5, 5]},
      ];
    }

    refresh() {
      const {weight, std} = this.values;
      this.means = [...this.handles[0].at, ...this.handles[1].at];
      this.distance = Math.hypot(this.means[2] - this.means[0], this.means[3] - this.means[1]);
      this.mixture = new Mixture([1 - weight, weight], this.means, [std, std]);
    }

    // n uniform starting points: first those nearer to the first mode. A chain keeps the colour of its side.
    starts(n) {
      const x = Score.uniformStart(n, this.random), {means} = this;
      const second = Array.from({length: n}, (_, i) => squared(x, i, means, 1) < squared(x, i, means, 0));
      const order = [...second.keys()].sort((a, b) => second[a] - second[b] || a - b);
      this.border = n - second.filter(Boolean).length;
      return Float64Array.from(order.flatMap(i => [x[2 * i], x[2 * i + 1]]));
    }

    groups() {
      const {x} = this.chains;
      return [{x, to: this.border, colour: 'first'}, {x, from: this.border, colour: 'second'}];
    }

    // Chains that are now nearer to the other mode than at their start.
    crossed() {
      const {chains: {x, n}, begun, means} = this, second = (x, i) => squared(x, i, means, 1) < squared(x, i, means, 0);
      return shareOf(n, i => second(x, i) !== second(begun, i));
    }

    // Where the chains are, in words, beside what is exact.
    sides(exact) {
      const {chains: {x, n}} = this;
      return `Nearer to the second mode: ${twoErrors(nearerToSecond(x, this.means), n)}; exact ${exact}. ` +
        `Not on the side where they started: ${percent(this.crossed())}. `;
    }

    // The share of the starts where the second mode pulls harder: there a chain ends where steps are small and modes
    // far apart.
    get basin() {
      const {weight, std} = this.values, bias = 2 * std ** 2 * Math.log(weight / (1 - weight)), {begun, means} = this;
      return shareOf(begun.length / 2, i => squared(begun, i, means, 1) - bias < squared(begun, i, means, 0));
    }

    // Points along the line through the modes, and their place on it from the middle between these.
    alongModes(positions) {
      const [a1, a2, b1, b2] = this.means, d = this.distance || 1, e1 = (b1 - a1) / d, e2 = (b2 - a2) / d;
      return Float64Array.from(positions.flatMap(u => [(a1 + b1) / 2 + u * e1, (a2 + b2) / 2 + u * e2]));
    }

    onLine(x) {
      const [a1, a2, b1, b2] = this.means, d = this.distance || 1, e1 = (b1 - a1) / d, e2 = (b2 - a2) / d;
      return Float64Array.from({length: x.length / 2}, (_, i) =>
        (x[2 * i] - (a1 + b1) / 2) * e1 + (x[2 * i + 1] - (a2 + b2) / 2) * e2);
    }
  }

  // --- (a) the score under noise -----------------------------------------------------------------------------------

  class Field extends TwoModes {
    static title = 'density and score under noise';
    static alt = 'Density of the mixture under noise, as shading; its score, as arrows; perturbed data, as points.';
    static chartAlt = 'Density, and score, along the line through the two modes.';
    static shade = 'density';
    static controls = [
      range('noise', 'noise σ', 0, 10, 3, 0.05), WEIGHT, range('std', 'standard deviation √v', 0.3, 3, 1, 0.1),
      check('data', 'show 500 data with noise', true), SEED,
    ];

    static first = ['noise', 'weight', 'data'];

    static live = ['noise', 'weight', 'std', 'data', 'first', 'second', 'probe'];

    static handles() {
      return [...super.handles(), {name: 'probe', called: 'Cross', shape: 'cross', at: [0, 0]}];
    }

    get sigma() {
      return this.values.noise;
    }

    get done() {
      return this.values.noise === 0;
    }

    begin() {
      const n = 500;
      this.normals = this.random.normals(new Float64Array(4 * n));
      this.which = Float64Array.from({length: n}, () => this.random.uniform());
      this.data = new Float64Array(2 * n);
      if (this.done) this.values.noise = 10;
      this.show();
      this.refresh();
    }

    // The same data and the same noise, whatever the sliders say: x̃ = x + σ z.
    refresh() {
      super.refresh();
      const {data, normals, which, means, values} = this, n = which.length;
      for (let j = 0; j < 2 * n; j++) {
        const k = which[j >> 1] < values.weight ? 1 : 0;
        data[j] = means[2 * k + j % 2] + values.std * normals[j] + values.noise * normals[2 * n + j];
      }
    }

    step() {
      this.values.noise = Math.max(0, +(this.values.noise - 0.05).toFixed(2));
      this.show();
      this.refresh();
    }

    groups() {
      return this.values.data ? [{x: this.data, colour: 'second'}] : [];
    }

    // From the cross, an arrow to the mean of the clean points behind it.
    over({context, width}) {
      const {plane, paint} = this, [x, y] = this.handles[2].at, [toX, toY] = this.denoised();
      context.beginPath();
      const places = [plane.across(x, width), plane.down(y, width), plane.across(toX, width), plane.down(toY, width)];
      Draw.arrow(context, ...places);
      context.strokeStyle = paint.score;
      context.lineWidth = 2.5;
      context.stroke();
    }

    denoised() {
      const at = this.handles[2].at, score = this.scoreAt(Float64Array.from(at)).score;
      return at.map((value, j) => value + this.sigma ** 2 * score[j]);
    }

    scoreAt(x) {
      const logDensity = new Float64Array(x.length / 2), score = new Float64Array(x.length);
      this.mixture.evaluate(x, this.sigma, logDensity, score);
      return {logDensity, score};
    }

    chart(fit, paint) {
      const positions = axisOf(-10, 10), {logDensity, score} = this.scoreAt(this.alongModes(positions));
      const [a1, a2, b1, b2] = this.alongModes([0, 1]);
      const scale = this.values.std ** 2 + this.sigma ** 2;  // as of the arrows
      const along = positions.map((_, i) => scale * (score[2 * i] * (b1 - a1) + score[2 * i + 1] * (b2 - a2)));
      const x = {from: -10, to: 10, ticks: [-10, -5, 0, 5, 10], label: 'place on the line through the modes'};
      const density = [...logDensity].map(Math.exp), highest = Math.max(...density);
      const upper = {title: 'density / its maximum', x, y: {from: 0, to: 1.05, ticks: [0, 0.5, 1]}};
      const lower = {title: '(v + σ²) times the score along the line', x, y: {from: -18, to: 18, ticks: [-10, 0, 10]}};
      new Draw.Chart(fit, paint, upper, 0, 2).line(positions, density.map(v => v / highest), 'density', {width: 2.5});
      const chart = new Draw.Chart(fit, paint, lower, 1, 2);
      chart.line([-10, 10], [0, 0], 'muted', {width: 1});
      chart.line(positions, along, 'score');
    }

    readout() {
      const at = this.handles[2].at, {logDensity, score} = this.scoreAt(Float64Array.from(at));
      const pair = values => `(${[...values].map(v => text(v)).join(', ')})`;
      const density = Math.exp(logDensity[0]).toExponential(1).replace('-', '−');
      return `σ = ${text(this.sigma)}. At the cross ${pair(at)}: density ${density}, ` +
        `log-density ${text(logDensity[0])}, score ${pair(score)}, of length ${text(Math.hypot(...score))}. ` +
        `The clean points behind it have the mean x + σ² s = ${pair(this.denoised())}, where the bold arrow ends.`;
    }
  }

  // --- (b) Langevin dynamics ---------------------------------------------------------------------------------------

  class Langevin extends TwoModes {
    static title = 'Langevin dynamics';
    static alt = 'Chains of Langevin dynamics, as points in two colours by the side they started on, over the density.';
    static chartAlt = 'A histogram of the chains along a line, with the target, and what theory predicts.';
    static shade = 'density';
    static controls = [
      choice('target', 'target', {mixture: 'two modes', gaussian: 'one Gaussian'}),
      choice('sampler', 'sampler', {plain: 'plain', metropolis: 'with Metropolis test'}),
      logarithmic('step', 'step size ε', 0.01, 10, 0.1), range('std', 'standard deviation √v', 0.3, 3, 1, 0.1), WEIGHT,
      choice('start', 'start', {uniform: 'uniform', first: 'all at the first mode', far: 'half at −3, half at 3'}),
      logarithmic('total', 'steps T', 10, 20000, 1000), CHAINS, SPEED, SEED,
    ];

    static first = ['target', 'sampler', 'step'];

    static live = ['step', 'weight', 'std', 'sampler', 'speed', 'total', 'first', 'second'];

    static handles() {
      return super.handles().map(mode => ({...mode, hidden: ({target}) => target === 'gaussian'}));
    }

    get v() {
      return this.values.std ** 2;
    }

    get done() {
      return this.diverged || this.steps >= this.values.total;
    }

    refresh() {
      super.refresh();
      if (this.values.target === 'gaussian') {
        this.means = [-1e-9, 0, 1e-9, 0];  // the line is the first axis
        this.distance = 2e-9;
        this.mixture = new Mixture([1], [0, 0], [this.values.std]);
      }
    }

    begin() {
      this.refresh();
      const {chains, start, step, total} = this.values;
      const x = this.starts(chains);
      if (start === 'first') {
        for (let i = 0; i < x.length; i++) x[i] = this.mixture.means[i % 2];
        this.border = chains;
      } else if (start === 'far') {
        for (let i = 0; i < x.length; i++) x[i] = (i >> 1) < chains / 2 ? -3 : 3;
        this.border = Math.ceil(chains / 2);
      }
      this.begun = x.slice();
      this.chains = new Chains(x, this.random);
      this.limit = Score.GROWTH * Math.max(this.chains.size(), Math.sqrt(step * total));
      this.steps = this.taken = 0;
      this.diverged = false;
    }

    step() {
      const {step, sampler} = this.values;
      if (sampler === 'plain') this.chains.langevin(this.mixture, 0, step);
      else this.taken = this.chains.metropolis(this.mixture, 0, step);
      this.steps++;
      this.diverged = !(this.chains.size() <= this.limit);
    }

    // The variance in one coordinate, of chains around the nearer mode.
    variance() {
      const {x, n} = this.chains, {means} = this;
      let sum = 0;
      for (let i = 0; i < n; i++) sum += Math.min(squared(x, i, means, 0), squared(x, i, means, 1));
      return sum / (2 * n);
    }

    chart(fit, paint) {
      const {values, v, distance} = this, two = values.target === 'mixture', half = two ? distance / 2 : 0;
      const settled = values.sampler === 'plain' ? Score.langevinVariance(values.step, v) : v;
      const highest = (two ? 1.15 * Math.max(values.weight, 1 - values.weight) : 1.3) * gaussian(0, 0, v);
      const chart = new Draw.Chart(fit, paint, {
        title: two ? 'density along the line of the modes' : 'density along x₁',
        x: {from: -10, to: 10, ticks: [-10, -5, 0, 5, 10], label: two ? 'place on the line of the modes' : 'x₁'},
        y: {from: 0, to: highest, ticks: [0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1].filter(tick => tick < highest)},
      });
      const positions = axisOf(-10, 10, 240), curve = (weight, variance) =>
        positions.map(u => (1 - weight) * gaussian(u, -half, variance) + weight * gaussian(u, half, variance));
      chart.histogram(this.onLine(this.chains.x), 50, 'second');
      chart.line(positions, curve(values.weight, v), 'density', {width: 2.5});
      const predicted = Number.isFinite(settled) && (!two || distance > 6 * values.std);
      if (predicted) chart.line(positions, curve(two ? this.basin : 0.5, settled), 'ink', {dash: [5, 4], width: 1.5});
      const entries = [['chains', 'second'], ['target', 'density'], ['predicted', 'ink', [5, 4]]];
      chart.legend(entries.slice(0, predicted ? 3 : 2), !two);
    }

    readout() {
      const {values, v, chains, steps} = this, {step, total, weight} = values, plain = values.sampler === 'plain';
      const head = `Step ${steps} of ${text(total)}, ${chains.n} chains. `;
      if (plain && step >= 4 * v) {
        const factor = text(Math.abs(1 - step / (2 * v)));
        const end = this.diverged ? `chains diverged at step ${steps}` : `the variance is now ${text(this.variance())}`;
        return `${head}ε = ${text(step)} is not below the bound 4v = ${text(4 * v)}: a step multiplies distances ` +
          `from a mode by ${factor}, and ${end}.`;
      }
      const test = plain ? '' : ` Accepted in the last step: ${percent(this.taken)}.`;
      const settled = plain ? Score.langevinVariance(step, v) : v;
      const limit = `${plain ? 'v/(1\u00a0−\u00a0ε/4v)' : 'v'}\u00a0= ${settled.toFixed(3)}`;
      const variance = this.variance(), error = variance * Math.sqrt(4 / (2 * chains.n));
      const spread = `${variance.toFixed(3)} ± ${error.toFixed(3)}, to settle at ${limit}.`;
      if (values.target === 'gaussian') return `${head}Variance ${spread}${test}`;
      const exact = Score.nearerMass(weight, this.distance, values.std).toFixed(2);
      const starts = `${this.basin.toFixed(2)} of the starts lay where it pulls harder`;
      return head + this.sides(`${exact}; ${starts}`) +
        `${this.distance > 6 * values.std ? `Variance around the nearer mode ${spread}` : ''}${test}`;
    }
  }

  // --- (c) annealing -----------------------------------------------------------------------------------------------

  const LADDER = (first, last, levels, steps, stepSize) => [
    logarithmic('first_sigma', 'first level σ₁', 2, 40, first),
    logarithmic('last_sigma', 'last level σ_L', 0.05, 2, last),
    range('levels', 'levels L', 1, 20, levels), range('steps', 'steps a level T', 5, 200, steps, 5),
    logarithmic('step', 'step size ε', 0.0005, 10, stepSize),
  ];

  // Algorithm 1 on this.mixture.
  const annealed = Base => class extends Base {
    get sigma() {
      return this.run.sigma;
    }

    get done() {
      return this.run.done;
    }

    anneal(x) {
      const {first_sigma, last_sigma, levels, steps, step} = this.values;
      this.chains = new Chains(x, this.random);
      const sigmas = geometricSigmas(first_sigma, last_sigma, levels);
      this.run = new Annealing(this.mixture, this.chains, sigmas, step, steps);
    }

    step() {
      this.run.advance();
    }

    head() {
      const {run, chains} = this;
      return `Level ${run.level + 1} of ${run.sigmas.length}, σ = ${text(run.sigma)}, ` +
        `step ${run.step} of ${run.nSteps}, ${chains.n} chains. `;
    }

    stability(v) {
      const {run} = this, bound = Score.largestStableStep(run.sigmas, v);
      const rule = `4σ_L²(1\u00a0+\u00a0v/σ₁²)\u00a0= ${text(bound)}`;
      if (!run.diverged && run.stepSize < bound) return `Stable for ε < ${rule}.`;
      const end = run.diverged ? 'the chains diverged' : 'enough steps diverge';
      return `ε = ${text(run.stepSize)} is beyond the bound ${rule}: ${end}.`;
    }
  };

  class Anneal extends annealed(TwoModes) {
    static title = 'annealed Langevin dynamics';
    static alt = 'Annealed chains, in two colours by the side they started on, over the density at the level.';
    static chartAlt = 'The share of the chains nearer to the second mode, level by level, with the exact share.';
    static shade = 'density';
    static controls = [
      ...LADDER(20, 1, 10, 100, 0.1), WEIGHT, range('std', 'standard deviation √v', 0, 2, 1, 0.1), CHAINS, SPEED, SEED,
    ];

    static first = ['levels', 'steps', 'step'];

    static live = ['speed'];

    begin() {
      this.refresh();
      this.shares = [];
      const x = this.starts(this.values.chains);
      this.begun = x.slice();
      this.anneal(x);
      this.zoom();
    }

    // From how far the plane is seen, by σ.
    zoom() {
      this.plane.extent = [8, 10, 14, 20, 30, 44, 60].find(e => e >= 2.2 * this.run.sigma + 1) ?? 80;
    }

    step() {
      super.step();
      this.zoom();
      if (this.run.step === this.run.nSteps) this.addShare();
    }

    addShare() {
      if (this.run.step > 0) this.shares[this.run.level] = nearerToSecond(this.chains.x, this.means);
    }

    exact(sigma) {
      return Score.nearerMass(this.values.weight, this.distance, Math.hypot(this.values.std, sigma));
    }

    chart(fit, paint) {
      this.addShare();
      const {sigmas} = this.run, from = 1.25 * Math.max(sigmas[0], 2), to = 0.8 * sigmas[sigmas.length - 1];
      const ticks = [40, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05].filter(tick => tick <= from && tick >= to);
      const chart = new Draw.Chart(fit, paint, {
        title: 'share nearer to the second mode',
        x: {from, to, ticks, label: 'σ of the level, falling', log: true},
        y: this.values.weight < 0.5 ? {from: 0, to: 0.6, ticks: [0, 0.2, 0.4, 0.6]} :
          {from: 0.4, to: 1, ticks: [0.4, 0.6, 0.8, 1]},
      });
      const axis = axisOf(Math.log(from), Math.log(to)).map(Math.exp);
      chart.line(axis, axis.map(sigma => this.exact(sigma)), 'ink', {dash: [5, 4]});
      chart.line(sigmas.slice(0, this.shares.length), this.shares, 'second', {dots: true});
      chart.legend([['after each level', 'second'], ['exact', 'ink', [5, 4]]]);
    }

    readout() {
      const [here, clean] = [this.sigma, 0].map(sigma => this.exact(sigma).toFixed(2));
      const sides = this.run.diverged ? '' : this.sides(`at this level ${here}, without noise ${clean}`);
      return this.head() + sides + this.stability(this.values.std ** 2);
    }
  }

  // --- (d) data of your own ----------------------------------------------------------------------------------------

  const turn = (n, f) => Array.from({length: n}, (_, i) => f(i / n, 2 * Math.PI * i / n));
  const SHAPES = {
    spiral: () => turn(110, t => {
      const angle = 15 * Math.sqrt(0.04 + 0.96 * t), radius = 0.43 * angle;
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    }),
    ring: () => turn(90, (_, a) => [5 * Math.cos(a), 5 * Math.sin(a)]),
    moons: () => turn(100, t => {
      const upper = t < 0.5, a = 2 * Math.PI * (upper ? t : t - 0.5);
      return upper ? [4 * Math.cos(a) - 2, 4 * Math.sin(a) - 1] : [2 - 4 * Math.cos(a), 1 - 4 * Math.sin(a)];
    }),
    face: () => [
      ...turn(70, (_, a) => [6 * Math.cos(a), 6 * Math.sin(a)]),
      ...turn(24, (t, a) => [0.5 * Math.cos(2 * a) + (t < 0.5 ? -2.2 : 2.2), 0.5 * Math.sin(2 * a) + 2]),
      ...turn(26, t => [7 * t - 3.37, (7 * t - 3.37) ** 2 / 6 - 3.2]),
    ],
    nothing: () => [],
  };
  const SPACING = 0.3;  // of painted points

  class Painted extends annealed(Scene) {
    static title = 'data of your own';
    static framesPerChart = 20;  // each takes the distances of all chains to all points
    static alt = 'Painted points, the density that they have under noise, and annealed chains.';
    static chartAlt = 'A histogram of the distance from each chain to the nearest painted point.';
    static shade = 'density';
    static controls = [
      choice('shape', 'begin with',
        {spiral: 'a spiral', ring: 'a ring', moons: 'two moons', face: 'a face', nothing: 'nothing'}),
      choice('brush', 'the pointer', {paint: 'paints', erase: 'erases'}),
      ...LADDER(10, 0.15, 12, 40, 0.01), {...CHAINS, value: 1000}, SPEED, SEED,
    ];

    static first = ['shape', 'brush', 'last_sigma'];

    static live = ['speed', 'brush', 'cursor'];

    static handles() {
      return [{name: 'cursor', called: 'Brush; the space bar paints or erases', shape: 'cross', at: [0, 0]}];
    }

    build() {
      super.build();
      const {moving} = this.plane;
      moving.classList.add('paintable');
      let moves = null;  // of the stroke that is being drawn
      moving.addEventListener('pointerdown', event => {
        moves = 0;
        moving.setPointerCapture(event.pointerId);
        if (event.pointerType !== 'touch') this.touch(this.pointOf(event));
      });
      moving.addEventListener('pointermove', event => {
        if (moves === null || (moves++ === 0 && event.pointerType === 'touch')) return;  // a finger may begin to scroll
        for (const e of event.getCoalescedEvents?.() ?? [event]) this.touch(this.pointOf(e));
      });
      moving.addEventListener('pointerup', event => {
        if (moves !== null) this.touch(this.pointOf(event));  // so that a finger's tap paints
        moves = null;
      });
      moving.addEventListener('pointercancel', () => { moves = null; });
      this.handles[0].button.addEventListener('keydown', event => {
        if (event.key !== ' ' && event.key !== 'Enter') return;
        event.preventDefault();
        this.touch(this.handles[0].at);
      });
    }

    // Paint or erase at a point, and begin anew: the data are others.
    touch(point) {
      const near = (a, distance) => Math.hypot(a[0] - point[0], a[1] - point[1]) < distance, before = this.data.length;
      if (this.values.brush === 'erase') this.data = this.data.filter(a => !near(a, 2 * SPACING));
      else if (before < MOST_POINTS && !this.data.some(a => near(a, SPACING))) this.data.push(point);
      if (this.data.length === before) return;
      this.changed('painted');
    }

    // The data of the chosen shape.
    emptied() {
      this.data = SHAPES[this.values.shape]();
    }

    changed(name) {
      if (name === 'shape') this.emptied();
      super.changed(name);
    }

    begin() {
      const n = this.data.length;
      this.mixture = n ? new Mixture(new Float64Array(n).fill(1 / n), this.data.flat(), new Float64Array(n)) : null;
      this.points = Float64Array.from(this.data.flat());
      this.anneal(Score.uniformStart(n ? this.values.chains : 0, this.random));
    }

    get done() {
      return this.data.length === 0 || super.done;
    }

    groups() {
      return [{x: this.chains.x, colour: 'second'}, {x: this.points, colour: 'ink', size: 4}];
    }

    // For each chain, the distance to the nearest painted point; and how many of these are someone's nearest.
    nearest() {
      const {x, n} = this.chains, points = this.points, visited = new Uint8Array(points.length / 2);
      const distances = new Float64Array(n);
      for (let i = 0; i < n; i++) {
        let best = Infinity, which = 0;
        for (let k = 0; k < points.length; k += 2) {
          const d = (x[2 * i] - points[k]) ** 2 + (x[2 * i + 1] - points[k + 1]) ** 2;
          if (d < best) [best, which] = [d, k >> 1];
        }
        distances[i] = Math.sqrt(best);
        visited[which] = 1;
      }
      return {distances, visited: visited.reduce((a, b) => a + b, 0)};
    }

    chart(fit, paint) {
      const chart = new Draw.Chart(fit, paint, {
        title: 'distance to the nearest painted point',
        x: {from: 0, to: 5, ticks: [0, 1, 2, 3, 4, 5], label: 'distance, in units of σ'},
        y: {from: 0, to: 1.5, ticks: [0, 0.5, 1, 1.5]},
      });
      this.near = this.nearest();
      if (this.data.length) chart.histogram(this.near.distances.map(d => d / this.sigma), 40, 'second');
      const axis = axisOf(0, 5);
      chart.line(axis, axis.map(r => r * Math.exp(-r * r / 2)), 'ink', {dash: [5, 4]});
      chart.legend([['chains', 'second'], ['noise around one point', 'ink', [5, 4]]]);
    }

    readout() {
      const n = this.data.length, {distances, visited} = this.near;
      if (!n) return `Paint on the plane: up to ${MOST_POINTS} points.`;
      const close = shareOf(distances.length, i => distances[i] < 3 * this.sigma);
      return `${n} painted points. ${this.head()}Within 3σ of a painted point: ${percent(close)} of the chains ` +
        `(99 % of noise around a point). ${visited} points of ${n} have a chain nearest to them. ` +
        this.stability(0);
    }
  }

  // --- the page ----------------------------------------------------------------------------------------------------

  const KINDS = {field: Field, langevin: Langevin, annealing: Anneal, draw: Painted};
  const scenes = [...document.querySelectorAll('.playground')].map(root => {
    root.playground = new KINDS[root.dataset.scene](root);
    return root.playground;
  });
  const redraw = () => scenes.forEach(scene => scene.draw());
  new MutationObserver(redraw).observe(document.body, {attributeFilter: ['data-theme']});
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
})();
