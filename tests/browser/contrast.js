// Text of too little contrast against what is behind it (WCAG 2: at least 4.5), an example for each pair of colours.
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const remembered = (make, seen = new Map()) => key => {  // a page has few colours, and its elements few ancestors
    if (!seen.has(key)) seen.set(key, make(key));
    return seen.get(key);
  };
  const rgba = remembered(colour => {  // whatever the notation
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  });
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const luminance = colour => {
    const [r, g, b] = colour.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = remembered(element => element === null ? [255, 255, 255]
    : over(rgba(getComputedStyle(element).backgroundColor), behind(element.parentElement)));

  const found = {};
  for (const element of document.querySelectorAll('article *')) {
    const text = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join('').trim();
    if (!text || !element.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    const below = behind(element), colour = over(rgba(getComputedStyle(element).color), below);
    const [dark, light] = [luminance(below), luminance(colour)].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found[`${colour.map(Math.round)} on ${below.map(Math.round)}: ${ratio.toFixed(1)}`] ??= text.slice(0, 60);
  }
  return found;
}
