// A click on a heading, or its key, sorts a table.
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const cell = row => row.cells[column], number = text => text === "inf" ? Infinity : Number(text);
    const compare = (a, b) => {
      if (cell(a).dataset.key === undefined)
        return (up ? 1 : -1) * cell(a).textContent.localeCompare(cell(b).textContent);
      const [p, q] = [a, b].map(row => number(cell(row).dataset.key));
      // Unknown numbers are last in both directions.
      if (isNaN(p) || isNaN(q)) return isNaN(p) - isNaN(q);
      return p === q ? 0 : (p < q) === up ? -1 : 1;
    };
    const rows = [...table.tBodies[0].rows].sort(compare);
    table.tBodies[0].append(...rows);
  }));
}
// A table that is wider than its box says so, until its end is in view.
for (const box of document.querySelectorAll(".scroll")) {
  const hint = box.nextElementSibling;
  const tell = () => {
    if (hint) hint.hidden = box.scrollLeft + box.clientWidth >= box.scrollWidth - 2;
  };
  box.addEventListener("scroll", tell, {passive: true});
  new ResizeObserver(tell).observe(box);
}
// A printed page shows all details.
const closed = [];
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) {
    part.open = true;
    closed.push(part);
  }
});
addEventListener("afterprint", () => {
  while (closed.length) closed.pop().open = false;
});
