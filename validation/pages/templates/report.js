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
