"use strict";
// The plot, drawn from the data in the page, and the table that sorts. Without this script the page shows a drawing.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const figure = document.getElementById("pareto");
  const stage = figure.querySelector(".stage");
  const tip = figure.querySelector(".tip");
  const still = stage.querySelector("svg");
  const space = still.namespaceURI;
  const hidden = new Set();
  let view = "all", scene = null, pinned = -1, at = Math.max(0, data.points.findIndex((p) => p.kind === "chosen"));

  const make = (tag, attributes, parent, text) => {
    const element = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };

  const svg = make("svg", { role: "group", "aria-label": still.querySelector("title").textContent });
  make("desc", {}, svg, still.querySelector("desc").textContent);
  const back = make("g", { "aria-hidden": "true" }, svg);
  const marks = make("g", {}, svg);
  const front = make("g", { "aria-hidden": "true", "pointer-events": "none" }, svg);
  const order = ["plan", "threshold", "agreement", "vote", "model", "reference", "chosen"];

  const said = (p) => [p.look, p.certified ? "certified" : "", p.levels.join(", then "),
    p.cost, p.metric, p.ratio].filter(Boolean).join("; ");

  const groups = data.points.map((p, i) => {
    const group = make("g", { class: `point k-${p.kind}`, role: "button", tabindex: -1, "aria-pressed": "false",
      "aria-label": `${p.name}: ${said(p)}` });
    make("line", { class: `bar k-${p.kind}`, x1: 0, x2: 0 }, group);
    make("use", { class: `mark k-${p.kind}${p.open ? " open" : ""}`, href: `#s-${p.kind}` }, group);
    make("circle", { class: "halo", r: p.kind === "chosen" ? 14 : 9 }, group);
    group.addEventListener("focus", () => { at = i; show(i); });
    group.addEventListener("blur", () => show(pinned));
    return group;
  });
  // The document's order is that of the arrow keys, by cost; what is to lie above is drawn by a later element.
  for (const kind of order) data.points.forEach((p, i) => { if (p.kind === kind) marks.append(groups[i]); });

  const seen = (i) => Boolean(scene && scene.points[i]) && !hidden.has(data.points[i].kind);

  const draw = () => {
    const width = stage.clientWidth;
    const sizes = data.scenes[view];
    scene = sizes.find((each) => each.width <= width * 1.15) || sizes[sizes.length - 1];
    svg.setAttribute("viewBox", `0 0 ${scene.width} ${scene.height}`);
    const [left, top, right, bottom] = scene.area;
    back.replaceChildren();
    front.replaceChildren();
    for (const [x, text] of scene.x_ticks) {
      make("line", { class: "grid", x1: x, x2: x, y1: top, y2: bottom }, back);
      make("text", { class: "tick", x, y: bottom + 18, "text-anchor": "middle" }, back, text);
    }
    for (const [y, text] of scene.y_ticks) {
      make("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }, back);
      make("text", { class: "tick", x: left - 8, y: y + 4.5, "text-anchor": "end" }, back, text);
    }
    make("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }, back);
    make("text", { class: "tick", x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle" }, back, scene.x_title);
    make("text", { class: "tick", x: left, y: top - 12 }, back, scene.y_title);
    if (!hidden.has("plan")) make("path", { class: "front k-plan fresh", d: `M${scene.front.join("L")}` }, back);
    groups.forEach((group, i) => {
      const here = scene.points[i];
      group.toggleAttribute("hidden", !seen(i));
      if (!here) return;
      group.style.transform = `translate(${here[0]}px, ${here[1]}px)`;
      group.firstChild.setAttribute("y1", here[2] - here[1]);
      group.firstChild.setAttribute("y2", here[3] - here[1]);
    });
    for (const label of scene.labels) {
      if (!seen(label.point)) continue;
      const [x, y] = scene.points[label.point];
      if (label.line) make("line", { class: "lead fresh", x1: x, y1: y, x2: label.line[0], y2: label.line[1] }, back);
      const strong = data.points[label.point].kind === "chosen" ? " strong" : "";
      make("text", { class: `name fresh${strong}`, x: label.x, y: label.y, "text-anchor": label.anchor }, front, label.text);
    }
    if (!seen(at)) at = groups.findIndex((_, i) => seen(i));
    groups.forEach((group, i) => group.setAttribute("tabindex", i === at ? 0 : -1));
    show(pinned);
  };

  const show = (i) => {
    groups.forEach((group, k) => group.classList.toggle("on", k === i));
    tip.hidden = i < 0 || !seen(i);
    if (tip.hidden) return;
    const p = data.points[i];
    tip.replaceChildren();
    const line = (tag, text, cls) => {
      if (!text) return;
      const element = document.createElement(tag);
      element.textContent = text;
      if (cls) element.className = cls;
      tip.append(element);
    };
    line("b", p.name);
    line("span", p.certified ? `${p.look}, certified` : p.look);
    if (p.name !== p.levels.join(" > ")) line("span", p.levels.join(", then "));
    line("span", p.cost + (p.ratio ? `, ${p.ratio}` : ""), "more");
    line("span", p.metric, "more");
    const scale = svg.getBoundingClientRect().width / scene.width;
    const [x, y] = scene.points[i].map((value) => value * scale);
    const wide = tip.offsetWidth, tall = tip.offsetHeight, room = stage.clientWidth;
    const beside = x + 18 + wide <= room ? x + 18 : x - 18 - wide;
    tip.style.left = `${Math.max(0, Math.min(beside, room - wide))}px`;
    tip.style.top = `${beside < 0 ? y + 18 : Math.max(0, y - tall / 2)}px`;
  };

  const pin = (i) => {
    pinned = pinned === i ? -1 : i;
    groups.forEach((group, k) => {
      group.classList.toggle("pinned", k === pinned);
      group.setAttribute("aria-pressed", String(k === pinned));
    });
    show(pinned);
  };

  const nearest = (event) => {
    const box = svg.getBoundingClientRect();
    const scale = scene.width / box.width;
    let best = -1, least = 26;
    scene.points.forEach((here, i) => {
      if (!seen(i)) return;
      const apart = Math.hypot((event.clientX - box.left) * scale - here[0], (event.clientY - box.top) * scale - here[1])
        - (data.points[i].kind === "plan" ? 0 : 3);
      if (apart < least) { least = apart; best = i; }
    });
    return best;
  };

  const go = (step) => {
    const reachable = groups.map((_, i) => i).filter(seen);
    if (!reachable.length) return;
    const place = Math.max(0, Math.min(reachable.indexOf(at) + step, reachable.length - 1));
    groups[at]?.setAttribute("tabindex", -1);
    at = reachable[place];
    groups[at].setAttribute("tabindex", 0);
    groups[at].focus();
  };

  svg.addEventListener("pointermove", (event) => { const i = nearest(event); show(i < 0 ? pinned : i); });
  svg.addEventListener("pointerleave", () => show(pinned));
  svg.addEventListener("click", (event) => { const i = nearest(event); if (i >= 0 || pinned >= 0) pin(i < 0 ? pinned : i); });
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity };
    if (event.key in steps) go(steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") pin(at);
    else if (event.key === "Escape") { if (pinned >= 0) pin(pinned); else show(-1); }
    else return;
    event.preventDefault();
  });

  for (const button of figure.querySelectorAll(".keys button")) {
    button.disabled = false;
    button.addEventListener("click", () => {
      const kind = button.dataset.kind;
      if (!hidden.delete(kind)) hidden.add(kind);
      button.setAttribute("aria-pressed", String(!hidden.has(kind)));
      draw();
    });
  }
  for (const button of figure.querySelectorAll(".views button")) {
    button.addEventListener("click", () => {
      view = button.dataset.view;
      stage.classList.add("moving");
      for (const each of figure.querySelectorAll(".views button")) each.setAttribute("aria-pressed", String(each === button));
      draw();
    });
  }
  for (const element of figure.querySelectorAll(".views, .script")) element.hidden = false;
  figure.classList.add("scripted");
  still.replaceWith(svg);
  let drawn = stage.clientWidth;
  draw();
  new ResizeObserver(() => requestAnimationFrame(() => {
    if (stage.clientWidth === drawn) return;
    drawn = stage.clientWidth;
    stage.classList.remove("moving");
    draw();
  })).observe(stage);

  // The table of points.
  const body = document.querySelector(".sortable tbody");
  document.querySelectorAll(".sortable thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const worth = (row) => {
      const cell = row.cells[column];
      const value = cell.querySelector("data")?.value;
      return value === undefined ? cell.textContent : Number(value);
    };
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [worth(a), worth(b)];
        const sign = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
        return up ? sign : -sign;
      });
      body.append(...rows);
    });
  });
})();
