// Tables are sorted by a click on a heading, and by the keyboard.
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.key ?? row.cells[column].textContent;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)], [p, q] = [parseFloat(x.replace("inf", "Infinity")), parseFloat(y.replace("inf", "Infinity"))];
      if (isNaN(p) || isNaN(q)) return isNaN(p) - isNaN(q) || x.localeCompare(y);
      return up ? p - q : q - p;
    };
    const rows = [...table.tBodies[0].rows].sort(compare);
    if (!up && rows.length && isNaN(parseFloat(key(rows[0])))) rows.reverse();
    table.tBodies[0].append(...rows);
  }));
}
// Paper shows all.
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
