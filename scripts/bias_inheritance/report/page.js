// Draws each chart at the available width, links marks to rows, and opens the folds around a row.
(() => {
  const theme = JSON.parse(document.getElementById("theme").textContent);

  // open the folds of the row in the address, mark it and scroll to it
  const show = () => {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    document.querySelectorAll("tr.target").forEach((old) => old.classList.remove("target"));
    if (!row) return;
    for (let fold = row.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    if (row.tagName === "TR") row.classList.add("target");
    row.scrollIntoView({ block: row.tagName === "TR" ? "center" : "start" });
  };
  addEventListener("hashchange", show);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.getAttribute("href") === location.hash) show(); // same address as before
  });

  const unpack = (spec) => {
    for (const [name, data] of Object.entries(spec.datasets ?? {})) {
      spec.datasets[name] = data.rows.map((row) => Object.fromEntries(data.columns.map((column, i) => [column, row[i]])));
    }
    return spec;
  };

  // panels of equal width, as many per row as fit
  const fit = (spec, place, width) => {
    const gap = theme.facet.spacing, cell = Number(place.dataset.cell), panels = Number(place.dataset.panels);
    const left = Math.min(Number(place.dataset.left), width / 2);
    const apart = spec.resolve?.scale?.y === "independent" ? gap + left : gap;
    const most = Math.max(1, Math.min(panels, 6, Math.floor((width - left + apart) / (Math.min(cell, width - left) + apart))));
    spec.columns = Math.ceil(panels / Math.ceil(panels / most));
    spec.spec.width = Math.max(80, Math.min(540, Math.floor((width - left - 16 - (spec.columns - 1) * apart) / spec.columns)));
    return spec;
  };

  const draw = async (place) => {
    const width = Math.floor(place.clientWidth);
    if (!width || Math.abs(width - (place.drawnAt ?? 0)) < 24) return;
    place.drawnAt = width;
    const spec = fit(unpack(JSON.parse(place.nextElementSibling.textContent)), place, width);
    const left = Math.min(Number(place.dataset.left), width / 2);
    const config = { ...theme, axisY: { labelLimit: left - 8 }, legend: { ...theme.legend, columns: Math.max(1, Math.floor(width / 300)) } };
    const drawing = place.firstElementChild, still = drawing.innerHTML;
    try {
      const { view } = await vegaEmbed(drawing, spec, { mode: "vega-lite", renderer: "svg", ast: true, config, actions: false, hover: false });
      view.addEventListener("click", (event, item) => {
        if (item?.datum?.id) location.hash = item.datum.id;
      });
    } catch (fault) {
      drawing.innerHTML = still;
      console.error(place.getAttribute("aria-label").slice(0, 60), fault);
    }
  };

  // one at a time; opening a fold, rotating a phone or resizing the window changes a chart's width
  let queue = Promise.resolve();
  const watch = new ResizeObserver((entries) => {
    for (const entry of entries) queue = queue.then(() => draw(entry.target));
    const last = queue;
    last.then(() => { if (last === queue) document.documentElement.dataset.charts = "drawn"; });
  });
  document.querySelectorAll(".chart").forEach((place) => watch.observe(place));

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((fold) => { fold.dataset.name = fold.getAttribute("name") ?? ""; fold.removeAttribute("name"); fold.open = true; });
  });
  addEventListener("afterprint", () => {
    closed.forEach((fold) => { fold.open = false; if (fold.dataset.name) fold.setAttribute("name", fold.dataset.name); });
  });
  show();
})();
