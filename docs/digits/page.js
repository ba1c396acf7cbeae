// The page that draws: three scenes around chapter 8's network, which answers from a worker.
const Page = (() => {
  'use strict';

  const {SIDE, ANY, chain} = Digits;
  const DARK = [13, 20, 36], WHITE = [255, 252, 242], AMBER = [230, 159, 0];  // of 0; of 1, the network's and yours
  const AT_REST = 0.5;  // σ of the first digit, once it is drawn
  const FILM_MILLISECONDS = 1500;  // a digit takes this long at least
  const HALVES = {right: x => x >= 14, left: x => x < 14, lower: (x, y) => y >= 14, upper: (x, y) => y < 14};  // hidden
  const SAMPLED = [9, 3, 0, 4, 7], SAMPLES = [  // strokes, each of places x,y
    ['18,11 15,8 11,9 9,12 11,15 15,15 18,11 18,16 17,23'],
    ['9,8 13,6 17,7 18,10 16,13 12,14', '12,14 17,15 19,18 18,22 14,24 9,22'],
    ['14,5 10,8 8,14 10,21 14,23 18,20 20,14 18,8 14,5'],
    ['9,6 8,11 10,15 15,15 19,13', '18,6 18,14 16,24'],
    ['8,7 19,7 16,13 13,23'],
  ];
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  const byId = id => document.getElementById(id);
  const say = words => { byId('status').textContent = words; };
  const normalsOf = seed => {
    const random = new Noise.Random(seed);
    return () => random.normals(new Float32Array(SIDE * SIDE));
  };
  const anySeed = () => Math.floor(Math.random() * 2 ** 31);

  // --- the worker, which answers in the order of the questions -------------------------------------------------------

  const waiting = [];
  const code = new Blob([byId('network').textContent, 'Digits.answer(self);']);
  const worker = new Worker(URL.createObjectURL(code));
  worker.onmessage = ({data}) => waiting.shift()(data);
  const ask = question => new Promise(answered => {
    waiting.push(answered);
    worker.postMessage(question);
  });
  const scoreOf = (label, w) => (x, sigma) => ask({x, sigma, label, w});

  // --- pictures and sliders ------------------------------------------------------------------------------------------

  const ALL = () => true;
  const show = (canvas, image, words, isYours = () => false) => {
    const context = canvas.getContext('2d'), picture = context.createImageData(SIDE, SIDE);
    image.forEach((value, i) => {
      const share = Math.max(0, Math.min(1, value)), bright = isYours(i) ? AMBER : WHITE;
      DARK.forEach((dark, c) => { picture.data[4 * i + c] = dark + share * (bright[c] - dark); });
      picture.data[4 * i + 3] = 255;
    });
    context.putImageData(picture, 0, 0);
    canvas.setAttribute('aria-label', words);
  };

  // A slider says its value beside it, and to a screen reader.
  const tell = (input, words) => {
    input.parentElement.querySelector('.value').textContent = words;
    input.setAttribute('aria-valuetext', words);
  };
  const slider = (id, words, event, moved) => {
    const input = byId(id), told = () => tell(input, words(+input.value));
    input.addEventListener('input', told);
    input.addEventListener(event, moved);
    told();
    return () => +input.value;
  };

  // --- press a digit -------------------------------------------------------------------------------------------------

  const buttons = [...document.querySelectorAll('.digits button')];
  const drawing = {turn: 0, digit: 3, seed: 0, states: []};
  const again = () => draw(drawing.digit, drawing.seed);
  const [w, nLevels, kicks] = ['w', 'levels', 'kicks'].map(id => slider(id, String, 'change', again));

  const chainOf = (label, seed, options) =>
    chain({...facts, score: scoreOf(label, w()), normals: normalsOf(seed), ...options});

  const look = at => {
    const {x, sigma, guess} = drawing.states[at], noise = `σ = ${+sigma.toPrecision(2)}`;
    byId('level').value = at;
    tell(byId('level'), noise);
    show(byId('seen'), x, `What the network sees, a ${drawing.digit} to be, with noise ${noise}`);
    show(byId('guess'), guess, `The network's guess at a ${drawing.digit} at ${noise}`);
  };

  // Draw a digit from the noise of a seed; whether it came to its end, and no other was begun.
  const draw = async (digit, seed) => {
    const turn = ++drawing.turn, n = nLevels(), states = [];
    Object.assign(drawing, {digit, seed, states});
    buttons.forEach(button => button.setAttribute('aria-pressed', +button.value === digit));
    byId('level').max = n;
    const sigmas = Noise.geometricSigmas(facts.sigmas[0], facts.sigmas.at(-1), n);
    const face = buttons[digit].querySelector('canvas');
    const begun = performance.now(), pace = calm.matches ? 0 : FILM_MILLISECONDS / n;
    for await (const state of chainOf(digit, seed, {sigmas, kicks: kicks()})) {
      if (turn !== drawing.turn) return false;
      states.push(state);
      if (calm.matches && state.sigma) continue;
      show(face, state.x, '');
      look(states.length - 1);
      await new Promise(done => setTimeout(done, begun + states.length * pace - performance.now()));
    }
    say(`A ${digit} is drawn, in ${n} levels.`);
    return true;
  };

  for (const button of buttons) button.addEventListener('click', () => draw(+button.value, anySeed()));
  byId('level').addEventListener('input', ({target: {value}}) => {
    if (drawing.states.length) look(Math.min(value, drawing.states.length - 1));
  });
  byId('all').addEventListener('click', async () => {
    for (let digit = 0; digit < 10; digit++) if (!await draw(digit, anySeed())) return;
  });

  // --- a drawing of one's own ----------------------------------------------------------------------------------------

  const pad = byId('pad'), fills = [...document.querySelectorAll('.fills canvas')];
  let ink = new Float32Array(SIDE * SIDE), filling = 0;

  const inked = words => {
    show(pad, ink, words, ALL);
    denoise();
  };

  // Ink along a line, soft at its edge.
  const line = ([fromX, fromY], [toX, toY]) => {
    const dx = toX - fromX, dy = toY - fromY, square = dx * dx + dy * dy || 1;
    ink = ink.map((value, i) => {
      const x = i % SIDE + 0.5 - fromX, y = Math.floor(i / SIDE) + 0.5 - fromY;
      const along = Math.max(0, Math.min(1, (x * dx + y * dy) / square));
      return Math.max(value, Math.min(1, 1.8 - Math.hypot(x - along * dx, y - along * dy)));
    });
  };

  let last = null, isSample = false;  // where the stroke is, if one is being drawn
  const touch = event => {
    const box = pad.getBoundingClientRect(), scale = SIDE / box.width;
    const place = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    line(last ?? place, place);
    last = place;
    inked('Your drawing');
  };
  pad.addEventListener('pointerdown', event => {
    pad.setPointerCapture(event.pointerId);
    if (isSample) erase();
    isSample = false;
    touch(event);
  });
  pad.addEventListener('pointermove', event => { if (last) touch(event); });
  for (const end of ['pointerup', 'pointercancel']) pad.addEventListener(end, () => { last = null; });

  // Whose class nobody knows yet.
  const erase = () => {
    ink.fill(0);
    byId('wanted').value = ANY;
  };

  let nSampled = 0;
  byId('sample').addEventListener('click', () => {
    ink.fill(0);
    const which = nSampled++ % SAMPLES.length;
    byId('wanted').value = SAMPLED[which];
    for (const stroke of SAMPLES[which]) {
      const places = stroke.split(' ').map(place => place.split(',').map(Number));
      places.forEach((place, i) => line(places[Math.max(0, i - 1)], place));
    }
    isSample = true;
    inked('A sample digit');
    say('The pad has a sample digit.');
  });
  byId('clear').addEventListener('click', () => {
    erase();
    inked('An empty pad');
    say('The pad is empty.');
  });
  byId('hidden').addEventListener('change', ({target: {value}}) => { byId('hatched').dataset.hidden = value; });

  const complete = async () => {
    const turn = ++filling, label = +byId('wanted').value, hidden = HALVES[byId('hidden').value];
    const known = Array.from(ink, (value, i) => hidden(i % SIDE, Math.floor(i / SIDE)) ? undefined : value);
    const isKnown = place => known[place] !== undefined;
    await Promise.all(fills.map(async (canvas, i) => {
      for await (const {x, sigma} of chainOf(label, anySeed(), {known})) {
        if (turn !== filling) return;
        if (calm.matches && sigma) continue;
        show(canvas, x, `Completion ${i + 1}, noise σ = ${+sigma.toPrecision(2)}`, isKnown);
      }
    }));
    if (turn === filling) say('Five completions are drawn.');
  };

  byId('fill').addEventListener('click', complete);

  // --- noise on it ---------------------------------------------------------------------------------------------------

  let z = normalsOf(anySeed())(), looking = false, stale = false;
  const sigmaOf = power => +(10 ** power).toPrecision(2);
  const sigma = slider('sigma', power => String(sigmaOf(power)), 'input', () => denoise());

  // Ask for the guess behind the noise; what has changed meanwhile is asked afterwards.
  const denoise = async () => {
    stale = true;
    if (looking) return;
    looking = true;
    while (stale) {
      stale = false;
      const level = sigmaOf(sigma()), x = ink.map((value, i) => value + level * z[i]);
      show(byId('noisy'), x, `Your drawing with noise σ = ${level}`, ALL);
      const s = await scoreOf(ANY)(x, level);
      show(byId('denoised'), x.map((value, i) => value + level * level * s[i]), `The network's guess at σ = ${level}`);
    }
    looking = false;
  };

  byId('renew').addEventListener('click', () => {
    z = normalsOf(anySeed())();
    denoise();
  });

  // --- begin ---------------------------------------------------------------------------------------------------------

  let facts;
  const bytes = Uint8Array.from(atob(byId('weights').textContent), letter => letter.charCodeAt(0));
  ask({bytes}).then(async answer => {
    facts = answer;
    for (const button of buttons) show(button.querySelector('canvas'), normalsOf(anySeed())(), '');
    document.body.classList.remove('waiting');
    byId('sample').click();
    // at rest the noise is seen, and the guess behind it
    if (await draw(3, anySeed())) look(drawing.states.findIndex(state => state.sigma <= AT_REST));
    if (!filling) complete();
  });
  return {ask};
})();
