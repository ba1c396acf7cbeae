// What a reader meets on this page: run by test_site_pages.py once formulas are typeset.
async () => {
  const own = element => [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join(' ').trim();
  const visible = element => element.checkVisibility({visibilityProperty: true, opacityProperty: true});

  for (const image of document.images) {
    image.loading = 'eager';
    await image.decode().catch(() => {});
  }
  const missing = [...document.images].filter(i => !i.naturalWidth).map(i => i.src);

  // TeX outside code that is still as it was written
  const raw = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const parent = node.parentElement;
    if (parent.closest('code, pre, script, style, mjx-container') || !visible(parent)) continue;
    if (/\\[([]|\\[a-z]{2,}|\$[^$]+\$/.test(node.data)) raw.push(node.data.trim());
  }
  const broken = [...document.querySelectorAll('mjx-merror')].map(e => e.textContent);
  const untypeset = [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container'));

  return {
    missing, raw: [...raw, ...broken, ...untypeset.map(e => e.textContent)],
    formulas: document.querySelectorAll('mjx-container').length,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
}
