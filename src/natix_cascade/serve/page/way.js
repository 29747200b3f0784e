// The levels as cards: who looks, what each says, where it ends.

import { $, answerWords, bar, h, mark, probability, sign, time, words } from "./dom.js";

const PACE = 260; // ms for which each level is seen at work; the true times are printed on the cards
const MOST_BOXES = 6;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let spec = [];
let cards = new Map();

const modelsOf = (level) => (level.models || level.members || []).map((member) => member.model || member);

/** When a level's exit rule lets a picture leave, in words. */
function leaves(level, last) {
  const rule = level.exit;
  if (!rule) return last ? "answers whatever is left" : "always asks the next level";
  if (rule.rule === "threshold") {
    const side = (value, text) => (value === null || value === undefined ? [] : [`${text} ${Number(value.toFixed(3))}`]);
    const sides = [...side(rule.yes, "yes from"), ...side(rule.no, "no up to")].join(", ");
    return sides ? `answers ${sides}` : "always asks the next level";
  }
  if (rule.rule === "agreement") return `answers when ${Math.round(100 * rule.ratio)} % of at least ${rule.members} agree`;
  if (rule.rule === "window") return `answers beyond ${Number(rule.half_width.toFixed(2))} log-odds from the threshold`;
  return "answers by its own rule";
}

function memberRow(name) {
  return h("li", { class: "member", "data-model": name }, h("span", { class: "name" }, name), h("span", { class: "said soft" }));
}

function card(level, index, total) {
  const known = spec.find((item) => item.name === level.name) || level;
  const names = modelsOf(level);
  const state = h("span", { class: "level-word" });
  const took = h("span", { class: "took" });
  const members = h("ul", { class: "members" }, names.map(memberRow));
  const rule = leaves(known, index === total - 1);
  const node = h(
    "li",
    { class: "level", "data-level": level.name },
    h("div", { class: "level-head" }, h("h4", {}, level.name), state, took),
    members,
    h("p", { class: "foot" }, names.length ? rule : `counts the votes so far, ${rule}`),
  );
  cards.set(level.name, { node, state, took, members });
  return node;
}

function put(name, state, text) {
  const at = cards.get(name);
  if (!at) return;
  at.node.dataset.state = state;
  at.state.textContent = text;
}

/** Evidence in words: what a model saw. */
function saw(evidence) {
  if (!evidence) return "";
  const boxes = (evidence.boxes || []).slice(0, MOST_BOXES).map((box) => `${box.label} ${box.score.toFixed(2)}`);
  const mask = typeof evidence.mask_share === "number" ? [`a mask over ${Math.round(100 * evidence.mask_share)} %`] : [];
  return [...boxes, ...mask, ...(evidence.text ? [evidence.text] : [])].join(", ");
}

function opinion(at, model, said) {
  let row = [...at.members.children].find((item) => item.dataset.model === model);
  if (!row) at.members.append((row = memberRow(model)));
  const name = h("span", { class: "name" }, model);
  if (said.failure) {
    row.replaceChildren(name, h("span", { class: "failed" }, sign("bad"), ` did not answer: ${said.failure}`));
    return;
  }
  if (typeof said.probability !== "number") {
    row.replaceChildren(name, h("span", { class: "soft" }, saw(said.evidence) || "no opinion of such pictures"));
    return;
  }
  const p = said.probability;
  const gauge = bar(p, `${model} says ${answerWords(p > 0.5)}: probability of ${words.positive} ${p.toFixed(3)}`);
  row.replaceChildren(name, gauge, h("span", { class: "p" }, mark(p > 0.5), h("span", { class: "soft" }, " P "), h("b", {}, probability(p))), h("span", { class: "ms" }, time(said.latency_ms)));
  if (said.evidence) row.append(h("p", { class: "saw soft" }, saw(said.evidence)));
  if (calm.matches) return;
  gauge.style.setProperty("--p", "0");
  requestAnimationFrame(() => requestAnimationFrame(() => gauge.style.setProperty("--p", String(p))));
}

/** Lay out the levels, all waiting. */
export function layLevels(levels, idle) {
  cards = new Map();
  $("levels").replaceChildren(...levels.map((level, index) => card(level, index, levels.length)));
  for (const level of levels) put(level.name, "idle", idle ? `level ${levels.indexOf(level) + 1}` : "waiting");
}

/** Keep what GET /v1/cascade says of the levels, and show them where no picture's way is shown. */
export function setLevels(levels, idle) {
  spec = levels;
  words.levels = levels.map((level) => level.name);
  $("way-note").textContent = `P: how likely each model finds ${words.positive}, calibrated. The mark is at one half.`;
  if (idle) layLevels(levels, true);
}

/** Back to the start: no picture's way is shown. */
export const resetWay = () => layLevels(spec, true);

/** Show one level's opinions, and whether the picture left there. */
function finish(event) {
  const at = cards.get(event.level);
  if (!at) return;
  const said = Object.entries(event.opinions || {});
  for (const [model, one] of said) opinion(at, model, one);
  for (const row of at.members.children) row.querySelector(".said")?.replaceChildren("not asked");
  at.took.textContent = time(event.latency_ms);
  put(event.level, event.exited ? "exit" : "passed", event.exited ? "answered here" : "not sure, passed on");
}

/** Shows the events of one picture one after the other, slowly enough to be seen. */
export class Way {
  constructor(signal) {
    this.signal = signal;
    this.queue = Promise.resolve();
  }

  /** Take an event; it is shown after the ones before it. */
  take(event) {
    this.queue = this.queue.then(() => this.show(event));
  }

  async show(event) {
    if (this.signal.aborted) return;
    if (event.event === "received") layLevels(event.levels, false);
    if (event.event === "level_started") {
      put(event.level, "asking", "looking");
      if (!calm.matches) await new Promise((resolve) => setTimeout(resolve, PACE));
    }
    if (event.event === "level_finished" && !this.signal.aborted) finish(event);
  }
}

/** After the last event: say which levels were not needed, and where the answer came from. */
export function endWay(verdict) {
  const asked = new Set(verdict.levels_executed || []);
  const stopped = (verdict.reasons || []).some((reason) => /^(stopped at|not reached)/.test(reason));
  for (const name of cards.keys()) {
    if (name === verdict.exit_level) put(name, "exit", stopped ? "stopped here, the best answer so far" : "answered here");
    else if (!asked.has(name)) put(name, "skipped", stopped ? "not reached" : "not needed");
  }
}

/** Show the events of an earlier answer at once. */
export function replay(events, verdict) {
  layLevels(events.find((event) => event.event === "received").levels, false);
  for (const event of events) if (event.event === "level_finished") finish(event);
  endWay(verdict);
}
