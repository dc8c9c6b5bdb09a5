"use strict";
/* Filters of the table of claims. The choice is kept in the address, so that it can be linked. */
(function () {
  const form = document.getElementById("filters");
  const shown = document.getElementById("shown");
  const rows = Array.from(document.querySelectorAll("table.claims tbody tr"));
  const facets = Array.from(form.querySelectorAll("select"), (select) => select.name);
  const texts = rows.map((row) => row.textContent.toLowerCase());

  function matches(row, index) {
    const words = form.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    return (
      facets.every((name) => !form[name].value || row.dataset[name].split("|").includes(form[name].value)) &&
      words.every((word) => texts[index].includes(word))
    );
  }

  function apply() {
    let count = 0;
    rows.forEach((row, index) => {
      row.hidden = !matches(row, index);
      count += row.hidden ? 0 : 1;
    });
    shown.value = count + " of " + rows.length + " claims";
  }

  function remember() {
    const chosen = new URLSearchParams();
    for (const name of facets.concat("words")) if (form[name].value) chosen.set(name, form[name].value);
    history.replaceState(null, "", "#" + (chosen.toString() || "claims"));
  }

  function recall() {
    const chosen = new URLSearchParams(location.hash.slice(1)), names = facets.concat("words");
    const named = names.some((name) => chosen.get(name));
    // An anchor of the page, such as the figures, leaves the choice alone; the bare page has none.
    if (!named && !["", "#", "#claims"].includes(location.hash)) return;
    for (const name of names) form[name].value = chosen.get(name) || "";
    for (const name of facets) if (form[name].selectedIndex < 0) form[name].value = "";
    apply();
    if (named) document.getElementById("claims").scrollIntoView();
  }

  form.hidden = false;
  form.addEventListener("input", () => { apply(); remember(); });
  form.addEventListener("reset", () => setTimeout(() => { apply(); remember(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", recall);
  recall();
})();
