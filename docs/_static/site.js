// What is wider than its column scrolls by itself: the keyboard must be able to reach it.
(() => {
  const boxes = 'pre, .table-wrapper, mjx-container[display="true"]';
  const mark = () => {
    for (const box of document.querySelectorAll(boxes)) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    }
  };
  addEventListener('load', () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(mark));
  addEventListener('resize', mark);
})();
