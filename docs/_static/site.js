(() => {
  // A line of code that is wider than its column goes on below, four characters further in than it begins.
  for (const code of document.querySelectorAll('div:not(.output) > .highlight pre')) {
    if (code.querySelector('div')) continue;  // a source page, whose definitions are boxes
    code.innerHTML = code.innerHTML.trimEnd().split('\n').map(line => `<span class="line">${line}</span>`).join('\n');
    for (const line of code.querySelectorAll('.line')) {
      line.style.setProperty('--hang', `${line.textContent.search(/\S|$/) + 4}ch`);
    }
  }

  // A figure opens at a tap. A film stops at a click, and shows its first frame; so it does from the start for who has
  // asked the system for less motion.
  const wrap = (image, element) => {
    image.replaceWith(element);
    element.append(image);
    return element;
  };
  for (const image of document.querySelectorAll('.cell_output img, article p > img')) {
    if (image.closest('a') || image.closest('.playground')) continue;
    if (!image.classList.contains('film')) {
      Object.assign(wrap(image, document.createElement('a')), {href: image.src, className: 'whole'});
      continue;
    }
    const button = Object.assign(wrap(image, document.createElement('button')), {type: 'button', className: 'film'});
    const still = document.createElement('canvas');
    still.className = image.className;
    still.setAttribute('role', 'img');
    still.setAttribute('aria-label', image.alt);
    const stop = () => {
      Object.assign(still, {width: image.naturalWidth, height: image.naturalHeight});
      still.getContext('2d').drawImage(image, 0, 0);
      image.replaceWith(still);
      button.title = 'Play the film';
    };
    const play = () => {
      still.replaceWith(image);
      button.title = 'Stop the film';
    };
    button.title = 'Stop the film';
    button.addEventListener('click', () => still.isConnected ? play() : stop());
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) image.decode().then(stop, () => {});
  }

  // What screen readers miss in the markup of Furo, Sphinx and MyST-NB.
  const mend = (selector, change) => document.querySelectorAll(selector).forEach(change);
  mend('[role="heading"]:not([aria-level])', heading => heading.setAttribute('aria-level', 2));
  mend('dl:not(:has(> dt))', list => list.setAttribute('role', 'presentation'));
  mend('summary[aria-label]', summary => summary.removeAttribute('aria-label'));  // its own words say more

  // What is wider than its column scrolls by itself: the keyboard must be able to reach it.
  const boxes = 'pre, .table-wrapper, mjx-container[display="true"]';
  const mark = () => {
    for (const box of document.querySelectorAll(boxes)) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    }
  };
  addEventListener('load', () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(mark));
  addEventListener('resize', mark);
})();
