// Draws the charts once the page is there, fits them to the screen, and shows the rows behind a number that is clicked.
(() => {
  const theme = JSON.parse(document.getElementById("theme").textContent);
  const facts = JSON.parse(document.getElementById("facts").textContent);

  const unpack = (spec) => {
    for (const [name, data] of Object.entries(spec.datasets ?? {})) {
      spec.datasets[name] = data.rows.map((row) => Object.fromEntries(data.columns.map((column, i) => [column, row[i]])));
    }
    return spec;
  };

  // small multiples take as many columns as fit; all else takes the whole width
  const fit = (spec, place, width, left) => {
    const cell = Number(place.dataset.cell), panels = Number(place.dataset.panels), plot = width - left - 14;
    // panels with values of their own have an axis each
    const gap = spec.resolve?.scale?.y === "independent" ? 18 + left : 18;
    if (!spec.facet) return { ...spec, width: plot };
    const most = Math.max(1, Math.min(spec.columns, panels, Math.floor((plot + gap) / (cell + gap))));
    spec.columns = Math.ceil(panels / Math.ceil(panels / most));
    const room = (plot - (spec.columns - 1) * gap) / spec.columns;
    spec.spec.width = Math.floor(Math.max(cell, panels === 1 ? room : Math.min(room, Math.max(cell, 300))));
    return spec;
  };

  const draw = async (place) => {
    const spec = unpack(JSON.parse(place.nextElementSibling.textContent));
    const width = Math.floor(place.clientWidth);
    place.drawnAt = width;
    const left = Math.min(Number(place.dataset.left), width / 2);
    const config = { ...theme, axisY: { ...theme.axisY, labelLimit: left - 12 } };
    config.legend = { ...theme.legend, columns: Math.max(1, Math.floor(width / 240)) };
    const options = {
      mode: "vega-lite", renderer: "svg", ast: true, config, hover: false,
      actions: { export: true, source: false, compiled: false, editor: false },
      downloadFileName: `${facts.study}-${place.id}`,
    };
    const { view } = await vegaEmbed(place, fit(spec, place, width, left), options);
    view.addEventListener("click", (event, item) => {
      const datum = item?.datum;
      if (datum?.rows) show(datum.file ?? "scores.csv", datum.rows);
    });
    place.classList.add("drawn");
  };

  const drawAll = async () => {
    for (const place of document.querySelectorAll(".chart")) {
      try {
        await draw(place);
      } catch (fault) {
        place.textContent = "This chart could not be drawn; its numbers are in the table below.";
        console.error(place.id, fault);
      }
    }
    document.documentElement.dataset.charts = "drawn";
  };

  // the rows behind a number
  const bar = document.getElementById("trace");
  const inWords = (side) => {
    const rows = side.split(",").map((row) => (row.startsWith("+") ? `and ${row.slice(1)} more` : row));
    return `row${rows.length > 1 ? "s" : ""} ${rows.join(", ")}`;
  };
  const show = (file, rows) => {
    const row = facts.traceable.includes(file) ? ` --row ${rows.split(/[,|]/)[0]}` : "";
    bar.querySelector(".rows").textContent = `${file}, ${rows.split("|").map(inWords).join(" minus ")}`;
    bar.querySelector("code").textContent = `.venv/bin/python scripts/trace.py ${facts.folder}/${file}${row}`;
    bar.hidden = false;
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.n");
    if (link) {
      event.preventDefault();
      const [file, rows] = decodeURIComponent(link.getAttribute("href").slice(1)).split(":");
      show(file, rows);
    } else if (event.target.closest("#trace button")) {
      bar.hidden = true;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") bar.hidden = true;
  });

  // a turned phone or a changed window gets its charts anew
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const places = [...document.querySelectorAll(".chart.drawn")];
      places.filter((place) => Math.abs(place.clientWidth - place.drawnAt) > 24).reduce((done, place) => done.then(() => draw(place)), Promise.resolve());
    }, 250);
  });

  drawAll();
})();
