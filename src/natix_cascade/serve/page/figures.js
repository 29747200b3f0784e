// Tiles, bars, tables and the diagrams that are not over time. What is not known is a dash with its reason.

import { count, h, percent, s, time } from "./dom.js";

const known = (value) => value !== null && value !== undefined;
const fixed = (value, digits) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Something a second. */
export const rate = (value) => fixed(value, value < 0.995 ? 2 : value < 99.5 ? 1 : 0);

/** A number in [-1, 1], such as MCC. */
export const coefficient = (value) => fixed(value, 3);

/** A mean of small counts. */
export const mean = (value) => fixed(value, 1);

/** A share on an axis. */
export const share = (value) => `${Number((100 * value).toFixed(1))} %`;

/** Dollars, large or tiny. */
export function money(usd) {
  if (!usd) return "$0";
  if (usd < 1e-6) return "< $0.000001";
  if (usd < 0.1) return `$${usd.toFixed(1 - Math.floor(Math.log10(usd)))}`;
  return `$${fixed(usd, usd < 1000 ? 2 : 0)}`;
}

/** Bytes of a GPU's memory. */
export const gib = (bytes) => `${fixed(bytes / 2 ** 30, 1)} GiB`;

/** A value as the service gave it, written for people; else a dash and why. */
export function figure(value, write) {
  return known(value) ? h("data", { value: String(value) }, write(value)) : h("span", { class: "soft" }, "–");
}

/** A tile; `name` is the figure's place in the answer, `why` the reason where there is no value. */
export function tile(title, name, value, write, note, why) {
  const said = known(value) ? note : why;
  return h("div", { "data-figure": name }, h("dt", {}, title), h("dd", {}, figure(value, write), h("small", {}, said || "\u00a0")));
}

/** Tiles, as many in a row as divide them. */
export const tiles = (...all) => h("dl", { class: `tiles many n${all.length}` }, all);

/** Bars for the shares of a whole: rows are `{name, label, share, note}`. */
export function bars(title, rows, why) {
  const row = (one) =>
    h("li", { "data-name": one.name }, h("span", { class: "name" }, one.label), h("span", { class: "bar share", "--p": String(one.share), "aria-hidden": "true" }, h("span", { class: "bar-fill" })), h("span", { class: "value" }, h("b", {}, figure(one.share, percent)), one.note && h("span", { class: "soft" }, one.note)));
  return h("div", { class: "shares" }, h("h3", {}, title), rows.length ? h("ul", {}, rows.map(row)) : h("p", { class: "soft small" }, why));
}

/** A table in a box of its own that can be scrolled; `update` puts in other rows of cells. */
export class Table {
  constructor(title, heads, words = 1) {
    this.body = h("tbody");
    this.words = words; // so many columns at the left are words
    const head = (text, i) => h("th", { scope: "col", class: i < words && "words" }, text);
    this.node = h("div", { class: "scroll", role: "region", "aria-label": title, tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {}, heads.map(head))), this.body));
  }

  update(rows) {
    const cell = (value, i) => (i === 0 ? h("th", { scope: "row" }, value) : h("td", { class: i < this.words && "words" }, value));
    this.body.replaceChildren(...rows.map(({ name, cells }) => h("tr", { "data-name": name }, cells.map(cell))));
  }
}

/** Where the answers of each model lie in time: a bar from p50 to p95, a tick at p99, on one logarithmic axis. */
export function spans(title, rows, why) {
  const told = rows.filter((row) => known(row.p50));
  if (!told.length) return h("div", { class: "shares" }, h("h3", {}, title), h("p", { class: "soft small" }, why));
  const low = 10 ** Math.floor(Math.log10(Math.max(0.1, Math.min(...told.map((row) => row.p50)))));
  const high = Math.max(low * 10, 10 ** Math.ceil(Math.log10(Math.max(...told.map((row) => row.p99))) - 1e-9));
  const place = (ms) => Math.min(1, Math.max(0, Math.log10(Math.max(ms, low) / low) / Math.log10(high / low)));
  const decades = Array.from({ length: Math.round(Math.log10(high / low)) + 1 }, (_, i) => low * 10 ** i);
  const row = (one) =>
    h(
      "li",
      {},
      h("span", { class: "name" }, one.name),
      h(
        "span",
        { class: "reach", role: "img", "aria-label": `${one.name}: p50 ${time(one.p50)}, p95 ${time(one.p95)}, p99 ${time(one.p99)}` },
        decades.map((each) => h("i", { "--x": String(place(each)) })),
        h("span", { class: "reach-bar", "--a": String(place(one.p50)), "--b": String(place(one.p95)) }),
        h("span", { class: "reach-tick", "--x": String(place(one.p99)) }),
      ),
    );
  const axis = h("li", { class: "axis", "aria-hidden": "true" }, h("span", {}), h("span", { class: "reach" }, decades.map((each) => h("span", { class: "at", "--x": String(place(each)) }, each < 1000 ? `${Number(each.toPrecision(1))} ms` : `${Number((each / 1000).toPrecision(1))} s`))));
  return h("div", { class: "shares spans" }, h("h3", {}, title), h("ul", {}, told.map(row), axis));
}

const SIDE = 336;
const EDGE = 34;

/** Said against true, by tenths: on the line, what was said is what is true. A dot's area grows with its verdicts. */
export function reliability(tenths) {
  const at = (value) => EDGE + (SIDE - EDGE - 24) * value;
  const most = Math.max(1, ...tenths.map((one) => one.verdicts));
  const told = tenths.map((one) => `said ${percent(one.said)}, true ${percent(one.true)} of ${count(one.verdicts)}`).join("; ");
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const y = (value) => SIDE - at(value);
  const radius = (one) => 3.5 + 9 * Math.sqrt(one.verdicts / most);
  return s(
    "svg",
    { class: "reliability", viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", "aria-label": tenths.length ? `Said against true: ${told}` : "Said against true: nobody has told the truth yet" },
    ticks.map((value) => [
      s("path", { class: value ? "grid" : "base", d: `M${at(0)} ${y(value)}H${at(1)}M${at(value)} ${y(0)}V${y(1)}` }),
      s("text", { class: "tick", x: at(0) - 6, y: y(value) + 4, "text-anchor": "end" }, value ? `${100 * value}` : "0"),
      s("text", { class: "tick", x: at(value), y: y(0) + 16, "text-anchor": "middle" }, value === 1 ? "100 %" : `${100 * value}`),
    ]),
    s("path", { class: "ideal", d: `M${at(0)} ${y(0)}L${at(1)} ${y(1)}` }),
    tenths.map((one) => s("path", { class: "apart", d: `M${at(one.said)} ${y(one.said)}V${y(one.true)}` })),
    tenths.map((one) => s("circle", { class: "told", cx: at(one.said), cy: y(one.true), r: radius(one) }, s("title", {}, `said ${percent(one.said)}, true ${percent(one.true)}: ${count(one.verdicts)} verdicts`))),
    s("text", { class: "tick", x: at(1), y: y(0) - 8, "text-anchor": "end" }, "said \u2192"),
    s("text", { class: "tick", x: at(0) + 8, y: y(1) + 12 }, "\u2191 true"),
  );
}
