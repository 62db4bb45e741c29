// Opens the folds around the row in the address, and all folds on paper.
(() => {
  const show = () => {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let fold = row?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    row?.scrollIntoView({ block: row.tagName === "TR" ? "center" : "start" });
  };
  addEventListener("hashchange", show);
  document.addEventListener("click", (event) => {
    if (event.target.closest('a[href^="#"]')?.getAttribute("href") === location.hash) show(); // same address as before
  });

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((fold) => { fold.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((fold) => { fold.open = false; }));
  show();
})();
