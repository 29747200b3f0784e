// Elements, marks and figures in words. Text goes in as text nodes only; nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element: `h("p", {class: "soft", onclick: f}, "text", node)`; attributes that begin with -- are set as style. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** The same in SVG. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Say something to screen readers, politely. */
export function say(text) {
  $("status").textContent = text;
}

/** The sign of an answer: a filled diamond for yes, a ring for no. Shape and colour both tell. */
export function mark(yes, extra = "") {
  const shape = yes ? s("path", { d: "M8 .8 15.2 8 8 15.2.8 8z" }) : s("circle", { cx: 8, cy: 8, r: 5.6 });
  return s("svg", { class: `mark ${yes ? "yes" : "no"} ${extra}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, shape);
}

/** The sign of a state: "good" a filled dot, "wait" a half-filled one, "bad" a crossed square. */
export function sign(state) {
  const parts = {
    good: [s("circle", { cx: 8, cy: 8, r: 6 })],
    wait: [s("circle", { class: "hollow", cx: 8, cy: 8, r: 5.5 }), s("path", { d: "M8 2.5a5.5 5.5 0 0 1 0 11z" })],
    bad: [s("rect", { class: "hollow", x: 2.5, y: 2.5, width: 11, height: 11 }), s("path", { class: "hollow", d: "m5 5 6 6m0-6-6 6" })],
  };
  return s("svg", { class: `state ${state}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, parts[state]);
}

/** The question's words and the names that follow from them. */
export const words = { id: "", text: "", positive: "yes", negative: "no" };

/** The answer in the question's own words. */
export function answerWords(yes) {
  if (yes) return words.positive;
  return ["none", "no", ""].includes(words.negative.toLowerCase()) ? `no ${words.positive}` : words.negative;
}

/** The same with a capital, for headings. */
export function answerTitle(yes) {
  const text = answerWords(yes);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Whether a verdict says yes, whatever the question is called. */
export function saysYes(verdict) {
  const named = verdict[`${words.id}_detected`];
  if (typeof named === "boolean") return named;
  const key = Object.keys(verdict).find((name) => name.endsWith("_detected"));
  return key ? verdict[key] === true : verdict.probability > 0.5;
}

const round = (value, digits) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** A share in [0, 1] as per cent, never rounded up to certainty. */
export function percent(share) {
  if (share > 0.999 && share < 1) return "> 99.9 %";
  return `${round(100 * share, share >= 0.9995 || share === 0 ? 0 : 1)} %`;
}

/** P with three digits; 0.000 and 1.000 are said as below and above. */
export function probability(p) {
  if (p === null || p === undefined) return "none";
  if (p > 0.999) return "> .999";
  if (p < 0.001) return "< .001";
  return p.toFixed(3).replace(/^0/, "");
}

/** Milliseconds with a unit that fits. */
export function time(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms >= 10000) return `${round(ms / 1000, 1)} s`;
  if (ms >= 1000) return `${round(ms / 1000, 2)} s`;
  return `${round(ms, ms < 99.95 ? 1 : 0)} ms`;
}

/** Cost of one picture, told for as many pictures as make it a sum one knows. */
export function cost(usd) {
  if (!usd) return ["$0", "priced at nothing"];
  const [many, name] = usd >= 0.01 ? [1, "for this picture"] : usd * 1000 >= 0.01 ? [1e3, "per thousand such pictures"] : [1e6, "per million such pictures"];
  const sum = usd * many;
  return [`$${round(sum, sum < 0.1 ? 3 : 2)}`, name];
}

/** A count with separators. */
export const count = (value) => round(value, 0);

/** Multiply-adds in words. */
export function arithmetic(gmacs) {
  const [many, name] = gmacs >= 1 ? [gmacs, "billion"] : [gmacs * 1000, "million"];
  return `${round(many, many >= 100 ? 0 : many >= 10 ? 1 : 2)} ${name}`;
}

/** Bytes in words. */
export function bytes(size) {
  return size >= 1e6 ? `${round(size / 1e6, 1)} MB` : `${round(size / 1e3, 0)} kB`;
}

/** A time of day; with the date when it was not today. */
export function clock(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "";
  const today = at.toDateString() === new Date().toDateString();
  const hours = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return today ? hours : `${at.toLocaleDateString([], { day: "numeric", month: "short" })}, ${hours}`;
}

/** Degrees with hemispheres. */
export function placeWords(place, digits = 4) {
  const one = (value, plus, minus) => `${Math.abs(value).toFixed(digits)}° ${value < 0 ? minus : plus}`;
  return `${one(place.lat, "N", "S")}, ${one(place.lon, "E", "W")}`;
}

/** A name and a value for a definition list. */
export const fact = (name, value, note) => h("div", {}, h("dt", {}, name), h("dd", {}, value, note && h("small", {}, note)));

/** A bar from 0 to 1 with a mark at one half. */
export function bar(p, label) {
  return h("span", { class: `bar ${p > 0.5 ? "yes" : "no"}`, role: "img", "aria-label": label, "--p": String(p) }, h("span", { class: "bar-fill" }), h("span", { class: "bar-half" }));
}
