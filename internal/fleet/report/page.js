"use strict";
(() => {
  const body = document.querySelector("tbody");
  const heads = [...document.querySelectorAll("thead th")];
  const toggles = [...document.querySelectorAll("[data-status], [data-error]")];
  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");
  const rows = [...body.rows].map((tr) => ({ tr, text: tr.textContent.toLowerCase() }));
  const number = new Intl.NumberFormat("en");
  let status = null;
  let error = null;

  // Sizes and times sort as numbers: "1,024", "4.3 s", "2 min 5 s", "1 h 3 min".
  const units = { s: 1, min: 60, h: 3600 };
  const value = (text) => {
    if (text === "") return -1;
    let sum = 0;
    for (const [, digits, unit] of text.matchAll(/([\d.,]+)\s*(min|h|s)?/g)) sum += parseFloat(digits.replaceAll(",", "")) * (units[unit] ?? 1);
    return sum;
  };

  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { tr, text } of rows) {
      const fits = (status === null || tr.dataset.s === status) && (error === null || tr.dataset.e === error) && words.every((word) => text.includes(word));
      tr.hidden = !fits;
      if (fits) count++;
    }
    shown.value = count === rows.length ? number.format(count) : `${number.format(count)} of ${number.format(rows.length)}`;
    none.hidden = count > 0 || rows.length === 0;
    for (const toggle of toggles) {
      const on = toggle.dataset.status === undefined ? toggle.dataset.error === error : toggle.dataset.status === status;
      toggle.setAttribute("aria-pressed", String(on));
    }
  };

  const sort = (column) => {
    const head = heads[column];
    const descending = head.getAttribute("aria-sort") === "ascending" || (!head.hasAttribute("aria-sort") && head.classList.contains("n"));
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const numeric = head.classList.contains("n");
    const collator = new Intl.Collator("en", { numeric: true });
    const keyed = rows.map((row) => {
      const text = row.tr.cells[column].textContent;
      return { row, key: numeric ? value(text) : text };
    });
    keyed.sort((a, b) => (descending ? -1 : 1) * (numeric ? a.key - b.key : collator.compare(a.key, b.key)));
    const sorted = document.createDocumentFragment();
    for (const { row } of keyed) sorted.append(row.tr);
    body.append(sorted);
  };

  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => sort(column));
    // On a phone there are no headings: numbers say what they are.
    if (head.classList.contains("n")) for (const { tr } of rows) if (tr.cells[column].textContent !== "") tr.cells[column].dataset.label = head.textContent.toLowerCase();
  });
  for (const toggle of toggles) {
    toggle.addEventListener("click", () => {
      const on = toggle.getAttribute("aria-pressed") === "true";
      status = on ? null : toggle.dataset.status ?? null;
      error = on ? null : toggle.dataset.error ?? null;
      show();
      if (!on && toggle.dataset.error !== undefined) document.getElementById("clusters").scrollIntoView({ behavior: "smooth" });
    });
  }
  // Commands are too long to select on a phone.
  for (const command of document.querySelectorAll(".follow, .again code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
    });
    command.after(" ", button);
  }
  filter.addEventListener("input", show);
  document.getElementById("clear").addEventListener("click", () => {
    filter.value = "";
    status = error = null;
    show();
  });
  show();
})();
