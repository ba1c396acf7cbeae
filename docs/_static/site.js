(() => {
  // A line of code that is wider than its column goes on below, four characters further in than it begins.
  for (const code of document.querySelectorAll('div:not(.output) > .highlight pre')) {
    if (code.querySelector('div')) continue;  // a source page, whose definitions are boxes
    code.innerHTML = code.innerHTML.trimEnd().split('\n').map(line => `<span class="line">${line}</span>`).join('\n');
    for (const line of code.querySelectorAll('.line')) {
      line.style.setProperty('--hang', `${line.textContent.search(/\S|$/) + 4}ch`);
    }
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
