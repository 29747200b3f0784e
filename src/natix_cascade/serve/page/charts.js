// Lines over time: drawn at the width they have, read by pointer or by keyboard.

import { clock, h, s } from "./dom.js";

const HEIGHT = 168;
const TOP = 10;
const BOTTOM = 24;
const RIGHT = 10;
const LETTER = 7; // px of a figure on the axis
const STEPS = [60, 300, 900]; // seconds between two times on the axis

/** Round values from 0 up to one that is not below `top`, about four of them. */
function marks(top) {
  const raw = top / 3;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((each) => each >= raw * (1 - 1e-9));
  return Array.from({ length: Math.ceil(top / step - 1e-6) + 1 }, (_, i) => i * step);
}

const day = (seconds) => new Date(seconds * 1000);
const hours = (seconds) => day(seconds).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
const exact = (seconds) => clock(day(seconds).toISOString());
const known = (value) => value !== null && value !== undefined;

/** Lines that break off where nothing is known, and points that stand alone. */
function strokes(points) {
  const there = (i) => i >= 0 && i < points.length && points[i][1] !== null;
  let [line, alone] = ["", ""];
  points.forEach(([x, y], i) => {
    if (y === null) return;
    const here = `${x.toFixed(1)} ${y.toFixed(1)}`;
    if (there(i - 1)) line += `L${here}`;
    else if (there(i + 1)) line += `M${here}`;
    else alone += `M${here}h.01`;
  });
  return [line, alone];
}

/**
 * A chart of one or more lines.
 *
 * `lines` are `{name, label}`, the name that of a list in the answer's `series`; `show` writes a value with its unit, `axis`
 * without much ado; the axis begins at 0 and reaches at least to `least`, unless `scale` gives its values for all that is
 * drawn; `empty` says why there may be nothing.
 */
export class LineChart {
  constructor({ title, lines, show, axis = show, least, scale = (all) => marks(Math.max(least, ...all)), empty }) {
    Object.assign(this, { title, lines, show, axis, scale, empty });
    this.data = null;
    this.chosen = null; // the time that is read, in seconds; null: the latest
    this.when = h("span", { class: "soft" });
    this.values = lines.map(() => h("b", {}));
    this.plot = h("div", { class: "plot" });
    this.cursor = h("div", { class: "cursor", role: "slider", tabindex: "0", "aria-label": `${title}: time`, "aria-valuemin": "0" });
    this.node = h(
      "figure",
      { class: "chart" },
      h("figcaption", {}, h("h3", {}, title), this.when),
      h("ul", { class: `keys n${lines.length}` }, lines.map((line, i) => h("li", {}, lines.length > 1 && this.swatch(i), lines.length > 1 && h("span", { class: "soft" }, `${line.label} `), this.values[i]))),
      h("div", { class: "canvas" }, this.plot, this.cursor),
    );
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  swatch(i) {
    return s("svg", { class: "swatch", viewBox: "0 0 18 8", "aria-hidden": "true" }, s("path", { class: `line line-${i}`, d: "M1 4H17" }));
  }

  listen() {
    const read = (event) => this.choose(this.nearest(event.clientX - this.plot.getBoundingClientRect().left));
    this.cursor.addEventListener("pointermove", read);
    this.cursor.addEventListener("pointerdown", read);
    this.cursor.addEventListener("pointerleave", () => this.choose(null));
    this.cursor.addEventListener("blur", () => this.choose(null));
    this.cursor.addEventListener("keydown", (event) => {
      const last = this.at.length - 1;
      const i = this.index();
      const next = { ArrowLeft: i - 1, ArrowDown: i - 1, ArrowRight: i + 1, ArrowUp: i + 1, Home: 0, End: last, PageUp: i + 6, PageDown: i - 6 }[event.key];
      if (next === undefined || last < 0) return;
      event.preventDefault();
      this.choose(Math.min(last, Math.max(0, next)));
    });
  }

  get at() {
    return this.data?.series.at || [];
  }

  /** Take in an answer of the service. */
  update(data, minutes) {
    this.data = data;
    this.from = data.at - minutes * 60;
    this.draw();
  }

  /** The point that is read. */
  index() {
    if (this.chosen === null) return this.at.length - 1;
    return this.at.reduce((best, at, i) => (Math.abs(at - this.chosen) < Math.abs(this.at[best] - this.chosen) ? i : best), 0);
  }

  nearest(x) {
    const far = this.at.map((at) => Math.abs(this.x(at) - x));
    return far.length ? far.indexOf(Math.min(...far)) : null;
  }

  choose(index) {
    this.chosen = index === null ? null : this.at[index];
    this.read();
  }

  x(at) {
    return this.left + ((this.width - this.left - RIGHT) * (at - this.from)) / (this.data.at - this.from);
  }

  y(value) {
    const [low, top] = [this.steps[0], this.steps[this.steps.length - 1]];
    return HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * (value - low)) / (top - low);
  }

  series(i) {
    return this.data.series[this.lines[i].name] || [];
  }

  draw() {
    this.width = this.plot.clientWidth;
    if (!this.data || !this.width) return;
    const all = this.lines.flatMap((_, i) => this.series(i)).filter(known);
    this.steps = this.scale(all);
    this.left = 12 + LETTER * Math.max(...this.steps.map((step) => this.axis(step).length));
    this.hair = s("path", { class: "hair" });
    this.dots = this.lines.map((_, i) => s("circle", { class: `dot line-${i}`, r: 4 }));
    const drawn = s(
      "svg",
      { viewBox: `0 0 ${this.width} ${HEIGHT}`, role: "img", "aria-label": this.told(all), height: HEIGHT },
      this.grid(),
      this.lines.map((_, i) => this.line(i)),
      all.length ? null : s("text", { class: "tick", x: (this.left + this.width) / 2, y: HEIGHT / 2 - 8, "text-anchor": "middle" }, this.at.length ? this.empty : "the first points come within half a minute"),
      this.hair,
      this.dots,
    );
    this.plot.replaceChildren(drawn);
    this.cursor.setAttribute("aria-valuemax", String(Math.max(0, this.at.length - 1)));
    this.read();
  }

  grid() {
    const minutes = (this.data.at - this.from) / 60;
    const step = STEPS[minutes <= 5 ? 0 : minutes <= 15 ? 1 : 2];
    const times = [];
    for (let at = Math.ceil(this.from / step) * step; at <= this.data.at; at += step) times.push(at);
    const inside = (x) => x > this.left + 12 && x < this.width - 16;
    return [
      this.steps.map((value) => [
        s("path", { class: value === this.steps[0] ? "base" : "grid", d: `M${this.left} ${this.y(value)}H${this.width - RIGHT}` }),
        s("text", { class: "tick", x: this.left - 6, y: this.y(value) + 4, "text-anchor": "end" }, this.axis(value)),
      ]),
      times.map((at) => [
        s("path", { class: "grid", d: `M${this.x(at)} ${HEIGHT - BOTTOM}v4` }),
        inside(this.x(at)) && s("text", { class: "tick", x: this.x(at), y: HEIGHT - 5, "text-anchor": "middle" }, hours(at)),
      ]),
    ];
  }

  line(i) {
    const points = this.series(i).map((value, k) => [this.x(this.at[k]), known(value) ? this.y(value) : null]);
    const [drawn, alone] = strokes(points);
    const filled = drawn && this.lines.length === 1 && this.steps[0] === 0 && points.every(([, y]) => y !== null);
    const floor = HEIGHT - BOTTOM;
    return [
      filled && s("path", { class: "fill", d: `${drawn}L${points[points.length - 1][0].toFixed(1)} ${floor}L${points[0][0].toFixed(1)} ${floor}z` }),
      drawn && s("path", { class: `line line-${i}`, d: drawn }),
      alone && s("path", { class: `line line-${i} alone`, d: alone }),
    ];
  }

  value(i, index) {
    const value = this.series(i)[index];
    return known(value) ? this.show(value) : "–";
  }

  /** Show the figures of the point that is read. */
  read() {
    if (!this.data) return;
    const index = this.index();
    const at = this.at[index];
    const when = at === undefined ? "" : this.chosen === null ? "latest" : exact(at);
    this.when.textContent = when;
    this.values.forEach((value, i) => (value.textContent = this.value(i, index)));
    this.cursor.setAttribute("aria-valuenow", String(Math.max(0, index)));
    const said = this.lines.map((line, i) => `${line.label} ${this.value(i, index) === "–" ? this.empty : this.value(i, index)}`);
    this.cursor.setAttribute("aria-valuetext", at === undefined ? "no points yet" : `${exact(at)}: ${said.join(", ")}`);
    const shown = this.chosen !== null && this.hair && at !== undefined;
    this.hair?.setAttribute("d", shown ? `M${this.x(at).toFixed(1)} ${TOP}V${HEIGHT - BOTTOM}` : "");
    this.dots?.forEach((dot, i) => {
      const value = this.series(i)[index];
      dot.classList.toggle("on", Boolean(shown) && known(value));
      if (!shown || !known(value)) return;
      dot.setAttribute("cx", this.x(at).toFixed(1));
      dot.setAttribute("cy", this.y(value).toFixed(1));
    });
  }

  told(all) {
    if (!all.length) return `${this.title}: ${this.empty}`;
    return `${this.title}, from ${this.show(Math.min(...all))} to ${this.show(Math.max(...all))}`;
  }
}
