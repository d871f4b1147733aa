"use strict";
// Renews the page while it is looked at, follows Airflow's theme, and zooms.
(() => {
  const root = document.documentElement;
  // Milliseconds between two renewals. A task that is over may be cleared, and who was refused may log in.
  const EVERY = 2500, EVERY_IF_OVER = 30000;
  // Without a limit, a browser waits for minutes on a network that is gone.
  const PATIENCE = 10000;
  const framed = parent !== window;
  if (framed) root.classList.add("framed");

  // The page around is Airflow's, of the same origin. By the extra link there is none, but it has stored its theme.
  const airflow = () => {
    try { return framed ? parent.document.documentElement : null; } catch { return null; }
  };
  const isDark = () => {
    const around = airflow();
    if (around) return around.classList.contains("dark");
    let stored = null;
    try { stored = localStorage.getItem("theme"); } catch { /* storage may be off */ }
    return stored === "dark" || (stored !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  };
  const paint = () => { root.dataset.theme = isDark() ? "dark" : "light"; };
  paint();
  const around = airflow();
  if (around) new MutationObserver(paint).observe(around, { attributes: true, attributeFilter: ["class"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

  // One zoom for all drawings of the page; null is how the stylesheet fits them.
  let zoom = null;
  const apply = () => {
    for (const svg of document.querySelectorAll(".drawing svg")) {
      const width = svg.viewBox.baseVal.width;
      svg.classList.toggle("zoomed", zoom !== null);
      svg.setAttribute("width", String(Math.round(width * (zoom ?? 1))));
    }
    for (const bar of document.querySelectorAll(".zoom")) bar.hidden = false;
  };
  const shown = (svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  document.addEventListener("click", (event) => {
    const how = event.target.closest?.("[data-zoom]")?.dataset.zoom;
    if (!how) return;
    const box = event.target.closest(".zoom").nextElementSibling;
    const svg = box.querySelector("svg");
    if (how === "fit") zoom = Math.min(1, box.clientWidth / svg.viewBox.baseVal.width);
    else zoom = Math.min(4, Math.max(0.1, shown(svg) * (how === "in" ? 1.25 : 0.8)));
    apply();
  });

  // A broad drawing opens at what people look for: a failed node, one that runs, or the first.
  const FIRST = [".is-FAILED, .is-KILLED, .is-REJECTED, .is-PARTIAL_FAILED", ".is-RUNNING", ".node"];
  const aim = () => {
    for (const box of document.querySelectorAll(".drawing")) {
      const node = FIRST.map((which) => box.querySelector(which)).find(Boolean);
      if (!node) continue;
      const [inner, outer] = [node.getBoundingClientRect(), box.getBoundingClientRect()];
      box.scrollLeft += inner.left + inner.width / 2 - (outer.left + outer.width / 2);
      box.scrollTop += inner.top + inner.height / 2 - (outer.top + outer.height / 2);
    }
  };

  // Only what differs is replaced, so that scrolling, a selection and a tooltip survive.
  const put = (old, next) => {
    const places = [...old.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
    const isFirst = !old.querySelector(".drawing");
    old.replaceWith(next);
    apply();
    next.querySelectorAll(".scroll").forEach((each, index) => {
      if (places[index]) [each.scrollLeft, each.scrollTop] = places[index];
    });
    if (isFirst) aim();
  };
  let asked = 0;
  const look = async () => {
    const number = ++asked;
    let next = null;
    try {
      const answer = await fetch(`${location.pathname}?part=1`, { credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE) });
      // A session that has ended, a right that was taken or a run that was deleted is said in place of the run. What
      // comes from a proxy, such as its login, has no run at all.
      if (answer.status < 500) next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("run");
    } catch { /* nobody is there */ }
    if (number < asked) return;
    const old = document.getElementById("run");
    document.getElementById("lost").hidden = next !== null;
    old.classList.toggle("lost", next === null);
    if (next && next.outerHTML !== old.dataset.source) {
      const source = next.outerHTML;
      put(old, next);
      next.dataset.source = source;
    }
  };
  let timer;
  const wait = (least) => {
    clearTimeout(timer);
    const isOver = document.getElementById("run").dataset.active === "0";
    timer = setTimeout(again, Math.max(isOver ? EVERY_IF_OVER : EVERY, least));
  };
  const again = async () => {
    const began = performance.now();
    if (!document.hidden) await look();
    // What takes long to make, such as a page of many large runs, is made less often.
    wait(10 * (performance.now() - began));
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });
  document.addEventListener("DOMContentLoaded", () => { apply(); aim(); wait(0); });
})();
