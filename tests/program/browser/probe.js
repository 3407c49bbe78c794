// Measures the page it stands in and tells the page around it.
addEventListener('load', () => {
  const faults = [];
  document.querySelectorAll('details').forEach(details => { details.open = true; });
  const apart = (a, b) => a.right < b.left + 1 || b.right < a.left + 1 || a.bottom < b.top + 3 || b.bottom < a.top + 3;
  let smallest = Infinity;
  for (const svg of document.querySelectorAll('figure svg')) {
    const frame = svg.getBoundingClientRect();
    const scale = frame.width / svg.viewBox.baseVal.width;
    const texts = [...svg.querySelectorAll('text')].map(text => ({ text, box: text.getBoundingClientRect() }));
    texts.forEach(({ text, box }, index) => {
      smallest = Math.min(smallest, scale * parseFloat(getComputedStyle(text).fontSize));
      const inside = box.left > frame.left - 1 && box.right < frame.right + 1 && box.top > frame.top - 1 && box.bottom < frame.bottom + 1;
      if (!inside) faults.push(`outside of its chart: ${text.textContent}`);
      for (const other of texts.slice(index + 1)) {
        if (!apart(box, other.box)) faults.push(`one over the other: ${text.textContent} | ${other.text.textContent}`);
      }
    });
  }
  for (const element of document.querySelectorAll('h1, h2, h3, p, li, figcaption, summary')) {
    if (element.scrollWidth > element.clientWidth + 1) faults.push(`cut off: ${element.textContent}`);
  }
  const alien = document.querySelectorAll('script:not([data-probe]), img:not([src^="data:image/png;base64,"]), iframe, object, link, [onerror], [onload], b, [style]');
  const style = getComputedStyle(document.body);
  parent.postMessage({
    width: innerWidth,
    scroll: document.documentElement.scrollWidth,
    height: document.documentElement.scrollHeight,
    title: document.title,
    alien: [...alien].map(element => element.outerHTML),
    charts: document.querySelectorAll('figure svg').length,
    smallest,
    faults,
    colours: [style.backgroundColor, style.color],
  }, '*');
});
