"use strict";
(() => {
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const nameTheme = () => { theme.textContent = isDark() ? "Light theme" : "Dark theme"; };
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });
  theme.hidden = false;
  nameTheme();

  // Numbers before text, missing values last in either direction.
  const key = (row, i) => {
    const order = row.cells[i].dataset.order;
    if (order === undefined) return null;
    return order.trim() !== "" && isFinite(order) ? Number(order) : order;
  };
  const compare = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].map((row) => [key(row, i), row]);
        rows.sort(([a], [b]) => a === null ? (b === null ? 0 : 1) : b === null ? -1 : up ? compare(a, b) : compare(b, a));
        table.tBodies[0].classList.add("sorted");
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  const form = document.getElementById("filter");
  const text = document.getElementById("filter-text");
  const workload = document.getElementById("filter-workload");
  const count = document.getElementById("filter-count");
  const named = ':not([data-workload=""])';
  const rows = [...document.querySelectorAll(`tr[data-workload]${named}`)];
  const others = [...document.querySelectorAll(`figure[data-workload], .items div[data-workload]${named}`)];
  const matches = (part, words) => {
    const content = part.textContent.toLowerCase();
    return (!workload.value || part.dataset.workload === workload.value) && words.every((w) => content.includes(w));
  };
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !matches(row, words);
      shown += !row.hidden;
    }
    for (const part of others) part.hidden = !matches(part, words);
    count.textContent = words.length || workload.value ? `${shown} of ${rows.length} rows shown` : "";
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = rows.length === 0;
})();
