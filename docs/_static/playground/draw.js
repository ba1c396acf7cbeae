// What the playground draws: a plane with density, arrows and points, and charts beside it. It knows no sampler.
const Draw = (() => {
  'use strict';

  const NAMES = ['ink', 'muted', 'paper', 'density', 'score', 'first', 'second'];

  // The colours of the page's scheme, from playground.css.
  const colours = element => {
    const style = getComputedStyle(element);
    return Object.fromEntries(NAMES.map(name => [name, style.getPropertyValue(`--play-${name}`).trim()]));
  };

  // Give a canvas as many pixels as it shows, and coordinates in CSS pixels.
  const fitted = canvas => {
    const ratio = Math.min(2, window.devicePixelRatio || 1), {clientWidth: width, clientHeight: height} = canvas;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = '12px system-ui, sans-serif';
    return {context, width, height};
  };

  const text = value => String(+value.toPrecision(3)).replace('-', '−');

  // --- the plane ---------------------------------------------------------------------------------------------------

  // [−extent, extent]² on two canvases: what stays lies under what moves.
  class Plane {
    constructor(still, moving) {
      Object.assign(this, {still, moving, extent: 8, grid: document.createElement('canvas')});
    }

    // The density of a mixture under noise, darkest at its highest, and its score: an arrow reaches a tenth of the way
    // to where (v + σ²) times the score leads, which far from all other components is the nearest mean.
    background(mixture, sigma, colour, paint) {
      const {context, width} = fitted(this.still), {extent} = this;
      context.fillStyle = paint.paper;
      context.fillRect(0, 0, width, width);
      if (mixture) {
        this.shade(mixture, sigma, paint[colour]);
        context.imageSmoothingQuality = 'high';
        context.globalAlpha = 0.75;
        context.drawImage(this.grid, 0, 0, width, width);
        context.globalAlpha = 1;
        this.arrows(context, width, mixture, sigma, paint);
      }
      this.ticks(context, width, extent, paint);
    }

    shade(mixture, sigma, colour) {
      const narrowest = Math.hypot(Math.min(...mixture.stds), sigma);
      const n = Math.max(48, Math.min(96, Math.ceil(2.4 * this.extent / narrowest)));
      const density = mixture.picture(this.extent, n, sigma);
      this.grid.width = this.grid.height = n;
      const context = this.grid.getContext('2d', {willReadFrequently: true});
      context.fillStyle = colour;
      context.fillRect(0, 0, n, n);
      const image = context.getImageData(0, 0, n, n);
      for (let i = 0; i < n * n; i++) image.data[4 * i + 3] = 255 * density[i];
      context.putImageData(image, 0, 0);
    }

    // The middles of n × n squares that fill the plane.
    lattice(n) {
      const points = new Float64Array(2 * n * n), side = 2 * this.extent / n;
      for (let row = 0, i = 0; row < n; row++) {
        for (let column = 0; column < n; column++, i += 2) {
          points[i] = -this.extent + (column + 0.5) * side;
          points[i + 1] = this.extent - (row + 0.5) * side;
        }
      }
      return points;
    }

    arrows(context, width, mixture, sigma, paint) {
      const n = width < 360 ? 15 : 20, points = this.lattice(n), score = new Float64Array(points.length);
      mixture.evaluate(points, sigma, null, score);
      const scale = 0.1 * (Math.min(...mixture.stds) ** 2 + sigma ** 2), unit = width / (2 * this.extent);
      const longest = 1.2 * width / n;
      context.beginPath();
      for (let i = 0; i < points.length; i += 2) {
        const x = this.across(points[i], width), y = this.down(points[i + 1], width);
        let dx = scale * score[i] * unit, dy = -scale * score[i + 1] * unit;
        const length = Math.hypot(dx, dy);
        if (length < 1) continue;
        if (length > longest) [dx, dy] = [dx * longest / length, dy * longest / length];
        arrow(context, x, y, x + dx, y + dy);
      }
      context.strokeStyle = paint.score;
      context.globalAlpha = 0.7;
      context.lineWidth = 1;
      context.stroke();
      context.globalAlpha = 1;
    }

    ticks(context, width, extent, paint) {
      const step = [1, 2, 4, 5, 10, 20, 40].find(s => 2 * extent / s <= 9);
      const write = (words, x, y) => {
        context.strokeText(words, x, y);
        context.fillText(words, x, y);
      };
      context.fillStyle = paint.muted;
      context.strokeStyle = paint.paper;
      context.lineWidth = 4;
      context.textBaseline = 'alphabetic';
      for (let value = -Math.floor(extent / step) * step; value <= extent; value += step) {
        if (Math.abs(value) > 0.93 * extent) continue;
        const place = this.across(value, width);
        context.textAlign = 'center';
        write(text(value), place, width - 6);
        context.fillRect(place, width - 4, 1, 4);
        context.textAlign = 'left';
        write(text(value), 6, width - place + 4);
        context.fillRect(0, width - place, 4, 1);
      }
    }

    // Points in groups, {x, from, to, colour, size}: those of the flat x from one index to another.
    points(groups, paint) {
      const {context, width} = fitted(this.moving), unit = width / (2 * this.extent);
      for (const {x, from = 0, to = x.length / 2, colour, size = 3} of groups) {
        context.fillStyle = paint[colour];
        context.globalAlpha = 0.8;
        const corner = width / 2 - size / 2;
        for (let i = from; i < to; i++) {
          const left = corner + unit * x[2 * i], top = corner - unit * x[2 * i + 1];
          if (left > -size && left < width && top > -size && top < width) context.fillRect(left, top, size, size);
        }
      }
      context.globalAlpha = 1;
      return {context, width};
    }

    across(x, width) {
      return (x / this.extent + 1) / 2 * width;
    }

    down(y, width) {
      return (1 - y / this.extent) / 2 * width;
    }
  }

  const arrow = (context, x, y, toX, toY) => {
    const dx = toX - x, dy = toY - y, head = Math.min(4, 0.5 * Math.hypot(dx, dy)) / Math.hypot(dx, dy);
    context.moveTo(x, y);
    context.lineTo(toX, toY);
    context.moveTo(toX - head * (dx - 0.6 * dy), toY - head * (dy + 0.6 * dx));
    context.lineTo(toX, toY);
    context.lineTo(toX - head * (dx + 0.6 * dy), toY - head * (dy - 0.6 * dx));
  };

  // --- charts ------------------------------------------------------------------------------------------------------

  // A chart in a part of a canvas, of several above each other: index of count.
  class Chart {
    // axes: title, x and y as {from, to, ticks, label, log}.
    constructor(fit, paint, axes, index = 0, count = 1) {
      const {context, width, height} = fit, part = height / count;
      Object.assign(this, {context, paint, ...axes});
      this.left = 38;
      this.right = width - 10;
      this.top = part * index + 24;
      this.bottom = part * (index + 1) - 36;
      this.frame();
    }

    place(axis, value, from, to) {
      const f = axis.log ? Math.log : v => v;
      return from + (f(value) - f(axis.from)) / (f(axis.to) - f(axis.from)) * (to - from);
    }

    across(x) {
      return this.place(this.x, x, this.left, this.right);
    }

    down(y) {
      return this.place(this.y, y, this.bottom, this.top);
    }

    frame() {
      const {context, paint, left, right, top, bottom} = this;
      context.fillStyle = paint.ink;
      context.textAlign = 'left';
      context.textBaseline = 'alphabetic';
      context.fillText(this.title, left, top - 9);
      context.fillStyle = paint.muted;
      for (const tick of this.x.ticks) {
        context.textAlign = 'center';
        context.fillText(text(tick), this.across(tick), bottom + 16);
        context.fillRect(this.across(tick), bottom, 1, 4);
      }
      for (const tick of this.y.ticks) {
        context.textAlign = 'right';
        context.fillText(text(tick), left - 6, this.down(tick) + 4);
        context.fillRect(left - 4, this.down(tick), 4, 1);
      }
      context.textAlign = 'center';
      context.fillText(this.x.label, (left + right) / 2, bottom + 31);
      context.fillRect(left, bottom, right - left, 1);
      context.fillRect(left, top, 1, bottom - top);
    }

    within(draw) {
      const {context, left, right, top, bottom} = this;
      context.save();
      context.beginPath();
      context.rect(left, top - 3, right - left, bottom - top + 3);
      context.clip();
      draw(context);
      context.restore();
    }

    line(xs, ys, colour, {dash = [], dots = false, width = 2} = {}) {
      this.within(context => {
        context.beginPath();
        xs.forEach((x, i) => context.lineTo(this.across(x), this.down(ys[i])));
        context.strokeStyle = context.fillStyle = this.paint[colour];
        context.lineWidth = width;
        context.setLineDash(dash);
        context.stroke();
        if (!dots) return;
        xs.forEach((x, i) => {
          context.beginPath();
          context.arc(this.across(x), this.down(ys[i]), 3.5, 0, 2 * Math.PI);
          context.fill();
        });
      });
    }

    // A histogram of values, as a density over the x axis.
    histogram(values, nBins, colour) {
      const {from, to} = this.x, side = (to - from) / nBins, counts = new Float64Array(nBins);
      for (const value of values) {
        const bin = Math.floor((value - from) / side);
        if (bin >= 0 && bin < nBins) counts[bin]++;
      }
      this.within(context => {
        context.fillStyle = this.paint[colour];
        context.globalAlpha = 0.45;
        for (let i = 0; i < nBins; i++) {
          const left = this.across(from + i * side), top = this.down(counts[i] / values.length / side);
          context.fillRect(left, top, this.across(from + (i + 1) * side) - left, this.bottom - top);
        }
      });
    }

    // What lines and bars mean: [label, colour, dash] each, down from the top.
    legend(entries, right = true) {
      const {context} = this;
      const width = 22 + Math.max(...entries.map(([label]) => context.measureText(label).width));
      const left = right ? this.right - width : this.left + 10;
      context.textAlign = 'left';
      context.lineWidth = 3;
      entries.forEach(([label, colour, dash = []], i) => {
        const y = this.top + 8 + 15 * i;
        context.strokeStyle = this.paint[colour];
        context.setLineDash(dash);
        context.beginPath();
        context.moveTo(left, y);
        context.lineTo(left + 16, y);
        context.stroke();
        context.fillStyle = this.paint.ink;
        context.fillText(label, left + 22, y + 4);
      });
      context.setLineDash([]);
    }
  }
  return {colours, fitted, text, arrow, Plane, Chart};
})();
