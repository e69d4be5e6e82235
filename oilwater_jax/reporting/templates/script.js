"use strict";
document.documentElement.classList.add("js");

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      for (const one of heads) one.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[at].dataset.value ?? row.cells[at].textContent;
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return up ? order : -order;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  });
}

const filters = document.querySelector(".filters");
if (filters) {
  const [reason, set] = filters.querySelectorAll("select");
  const count = filters.querySelector("output");
  const samples = [...document.querySelectorAll("[data-reasons]")];
  const show = () => {
    let left = 0;
    for (const one of samples) {
      const of = reason.value === "" || one.dataset.reasons.split(" ").includes(reason.value);
      one.hidden = !(of && (set.value === "" || one.dataset.set === set.value));
      left += !one.hidden;
    }
    count.textContent = `${left} of ${samples.length} shown`;
  };
  filters.addEventListener("change", show);
  show();
}

window.addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
});
