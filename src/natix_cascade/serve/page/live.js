// The load of the service, asked every two seconds while somebody looks.

import { call, Problem } from "./api.js";
import { $, count, fact, h, percent, s, sign, time, words } from "./dom.js";

const EVERY = 2000;
const LONGEST = 30000;
const KEEP = 120000; // ms of the sparkline
const BREAKERS = { closed: ["good", "answering"], "half-open": ["wait", "being tried again"], open: ["bad", "left alone"] };
const rates = []; // {at, rate}
let failures = 0;
let timer = null;
let generation = null;
let changed = () => {};

function sparkline() {
  const now = Date.now();
  while (rates.length && rates[0].at < now - KEEP) rates.shift();
  const top = Math.max(1, ...rates.map((item) => item.rate));
  const x = (at) => (300 * (1 - (now - at) / KEEP)).toFixed(1);
  const y = (rate) => (44 - (40 * rate) / top).toFixed(1);
  const line = rates.map((item, i) => `${i ? "L" : "M"}${x(item.at)} ${y(item.rate)}`).join("");
  const last = rates[rates.length - 1];
  const told = `Requests a second over the last two minutes: now ${last.rate.toFixed(1)}, at most ${Math.max(...rates.map((item) => item.rate)).toFixed(1)}`;
  return h(
    "figure",
    { class: "spark" },
    s(
      "svg",
      { viewBox: "0 0 300 48", preserveAspectRatio: "none", role: "img", "aria-label": told },
      s("path", { class: "spark-base", d: "M0 44.5H300" }),
      s("path", { class: "spark-fill", d: `${line}L${x(last.at)} 44L${x(rates[0].at)} 44z` }),
      s("path", { class: "spark-line", d: line }),
    ),
    h("figcaption", {}, h("span", {}, "2 min ago"), h("span", {}, `peak ${top > 1 ? top.toFixed(1) : Math.max(...rates.map((item) => item.rate)).toFixed(1)} /s`), h("span", {}, "now")),
  );
}

function exits(shares) {
  const entries = Object.entries(shares || {}).filter(([, many]) => many > 0);
  const rank = (name) => (words.levels || []).indexOf(name) + 1 || Infinity;
  entries.sort(([a], [b]) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
  const all = entries.reduce((sum, [, many]) => sum + many, 0);
  if (!all) return h("p", { class: "soft small" }, "No picture in the last minute.");
  const told = entries.map(([name, many]) => `${name} ${percent(many / all)}`).join(", ");
  return [
    h("div", { class: "stack", role: "img", "aria-label": `Where pictures were answered: ${told}` }, entries.map(([, many], i) => h("span", { class: `shade-${i % 5}`, "--share": String(many / all) }))),
    h("ul", { class: "keys" }, entries.map(([name, many], i) => h("li", {}, h("span", { class: `key shade-${i % 5}` }), `${name} `, h("b", {}, percent(many / all)), h("span", { class: "soft" }, ` ${count(many)}`)))),
  ];
}

function breaker(one) {
  const [state, said] = BREAKERS[String(one.state).replace("_", "-")] || ["wait", String(one.state)];
  const name = one.replica ? `${one.model} (${one.replica + 1})` : one.model;
  return h("li", {}, sign(state), h("span", { class: "name" }, name), h("span", { class: "soft" }, said, one.failures ? `, ${count(one.failures)} ${one.failures === 1 ? "failure" : "failures"}` : ""));
}

function pulse(state, text) {
  $("pulse-sign").replaceChildren(sign(state));
  if ($("pulse-words").textContent !== text) $("pulse-words").textContent = text;
}

function show(status) {
  const { latency_ms: latency = {} } = status;
  const [state, text] = status.draining ? ["wait", "draining: finishes what it has"] : status.ready ? ["good", "ready"] : ["bad", "not ready"];
  pulse(state, text);
  rates.push({ at: Date.now(), rate: status.rate_per_s });
  $("live-body").replaceChildren(
    h(
      "dl",
      { class: "tiles two" },
      fact("Requests a second", status.rate_per_s.toFixed(1)),
      fact("In flight", count(status.in_flight), `of ${count(status.max_in_flight)} at most`),
    ),
    sparkline(),
    h("h3", {}, "Time to answer"),
    h("dl", { class: "tiles three" }, fact("half within", time(latency.p50)), fact("95 % within", time(latency.p95)), fact("99 % within", time(latency.p99))),
    h("h3", {}, "Answered at"),
    ...[exits(status.exits)].flat(),
    h("h3", {}, "Models"),
    h("ul", { class: "breakers" }, (status.breakers || []).map(breaker)),
    h("h3", {}, "Since the start"),
    h(
      "dl",
      { class: "facts" },
      [
        ["State", h("span", {}, sign(state), ` ${text}`)],
        ["Requests", count(status.requests)],
        ["Rejected", count(status.rejected)],
        ["Degraded", count(status.degraded)],
        ["Failed", count(status.failed)],
        ["Generation", `${status.generation}, ${status.cascade} with policy ${status.policy}`],
        ["Up", up(status.uptime_s)],
      ].map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
    ),
  );
  if (generation !== null && generation !== status.generation) changed();
  generation = status.generation;
}

function up(seconds) {
  const [d, hrs, m] = [Math.floor(seconds / 86400), Math.floor((seconds % 86400) / 3600), Math.floor((seconds % 3600) / 60)];
  if (d) return `${d} d ${hrs} h`;
  if (hrs) return `${hrs} h ${m} min`;
  return m ? `${m} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  let wait = EVERY;
  try {
    show(await call("v1/status"));
    if (failures) changed();
    failures = 0;
    $("live-problem").hidden = true;
    $("live-body").classList.remove("stale");
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    failures += 1;
    wait = Math.max(problem.wait ? problem.wait * 1000 : 0, Math.min(LONGEST, EVERY * 2 ** (failures - 1)));
    pulse("bad", problem.status === 0 ? "no answer" : problem.title);
    const box = $("live-problem");
    const text = `${problem.title}. ${problem.status === 0 ? "It is asked again and again, ever more slowly; these are the last figures." : problem.detail}`;
    if (box.hidden || box.textContent !== text) box.textContent = text;
    box.hidden = false;
    $("live-body").classList.add("stale");
  }
  timer = setTimeout(poll, wait);
}

/** Begin to ask; `onChange` is called when the service came back, or serves another generation. */
export function startLive(onChange) {
  changed = onChange;
  document.addEventListener("visibilitychange", () => document.hidden || poll());
  poll();
}
