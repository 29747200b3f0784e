// The latest verdicts as a list, on a map, and one of them in full.

import { call, Problem } from "./api.js";
import { degradedBox, figures, headline, reasons } from "./answer.js";
import { $, answerTitle, answerWords, clock, h, mark, percent, placeWords, probability, saysYes, time } from "./dom.js";
import { feedbackPanel } from "./feedback.js";
import { drawMap } from "./map.js";

const MANY = 50;
let items = [];
let next = null;
let opener = null;

function row(verdict) {
  const yes = saysYes(verdict);
  const where = verdict.place ? placeWords(verdict.place, 3) : "";
  return h(
    "li",
    {},
    h(
      "button",
      { type: "button", class: "verdict", "data-id": verdict.verdict_id, onclick: () => open(verdict.verdict_id) },
      mark(yes),
      h("span", { class: "v-said" }, answerTitle(yes), verdict.degraded ? h("span", { class: "flip" }, "degraded") : ""),
      h("span", { class: "v-sure" }, percent(verdict.confidence)),
      h("span", { class: "v-name soft" }, [verdict.id, verdict.exit_level && `at ${verdict.exit_level}`, where].filter(Boolean).join(" · ")),
      h("time", { class: "v-when soft", datetime: verdict.created || "" }, clock(verdict.created)),
    ),
  );
}

function draw() {
  const kept = document.activeElement?.dataset?.id;
  $("recent").replaceChildren(...(items.length ? items.map(row) : [h("li", { class: "soft none" }, "None yet. The first picture starts the list.")]));
  if (kept) $("recent").querySelector(`[data-id="${CSS.escape(kept)}"]`)?.focus();
  $("older").hidden = next === null;
  drawMap($("map"), items, open);
}

function failed(problem) {
  const box = $("recent-problem");
  box.hidden = false;
  box.replaceChildren(h("p", {}, `The list could not be read: ${problem.title}. ${problem.detail || ""}`), h("button", { type: "button", onclick: refresh }, "Try again"));
}

/** Read the latest verdicts anew. */
export async function refresh() {
  try {
    const page = await call(`v1/verdicts?limit=${MANY}`);
    items = page.verdicts;
    next = page.next ?? null;
    $("recent-problem").hidden = true;
    draw();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    failed(problem);
  }
}

async function older() {
  try {
    const page = await call(`v1/verdicts?limit=${MANY}&before=${encodeURIComponent(next)}`);
    const first = items.length;
    items = items.concat(page.verdicts);
    next = page.next ?? null;
    draw();
    $("recent").children[first]?.querySelector("button")?.focus();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    failed(problem);
  }
}

function modelTable(verdict) {
  const rows = Object.entries(verdict.model_predictions || {}).map(([model, said]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, model),
      h("td", { class: "words" }, said.level),
      said.failure || typeof said.probability !== "number" ? h("td", { colspan: 2, class: "words" }, said.failure ? `did not answer: ${said.failure}` : "no opinion") : [h("td", { class: "words" }, answerWords(said.probability > 0.5)), h("td", {}, probability(said.probability))],
      h("td", {}, time(said.latency_ms)),
    ),
  );
  const head = ["Model", "Level", "Says", "P", "Time"].map((name) => h("th", { scope: "col", class: name === "Level" || name === "Says" ? "words" : "" }, name));
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "What each model said" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
}

function told(verdict) {
  const said = [].concat(verdict.feedback || []);
  if (!said.length) return "";
  const line = (one) => {
    const label = typeof one.label === "boolean" ? answerWords(one.label) : String(one.label);
    return h("li", {}, `The truth is ${label}`, one.note ? `: ${one.note}` : "", one.created ? h("span", { class: "soft" }, ` ${clock(one.created)}`) : "");
  };
  return [h("h3", {}, "What people said"), h("ul", {}, said.map(line))];
}

async function open(id) {
  const box = $("details");
  opener = document.activeElement;
  const close = h("button", { type: "button", class: "close", onclick: () => box.close() }, "Close");
  const title = (text) => h("div", { class: "dialog-head" }, h("h2", { id: "h-details" }, text), close);
  box.replaceChildren(title("Verdict"), h("p", { class: "soft" }, "Reading it."));
  if (!box.open) box.showModal();
  try {
    const verdict = await call(`v1/verdicts/${encodeURIComponent(id)}`);
    const facts = [
      ["Picture", verdict.id],
      ["When", verdict.created && new Date(verdict.created).toLocaleString()],
      ["Where", verdict.place && placeWords(verdict.place, 5)],
      ["Levels", (verdict.levels_executed || []).join(" → ")],
      ["Cascade, policy", [verdict.cascade, verdict.policy].filter(Boolean).join(", ")],
      ["SHA-256", verdict.sha256],
      ["Verdict", verdict.verdict_id],
    ].filter(([, value]) => value);
    box.replaceChildren(
      title("Verdict"),
      headline(verdict),
      h("p", { class: "sure" }, h("b", {}, percent(verdict.confidence)), " confident, answered at ", h("b", {}, verdict.exit_level)),
      degradedBox(verdict) || "",
      figures(verdict),
      modelTable(verdict),
      h("h3", {}, "Why it ended there"),
      reasons(verdict),
      h("h3", {}, "Is it true?"),
      feedbackPanel(verdict, null),
      ...[told(verdict)].flat(),
      h("h3", {}, "Which picture"),
      h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    );
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    box.replaceChildren(title(problem.title), h("p", { role: "alert" }, problem.detail), h("button", { type: "button", onclick: () => open(id) }, "Try again"));
  }
  close.focus();
}

/** Wire the list up. */
export function startRecent() {
  $("older").addEventListener("click", older);
  const box = $("details");
  box.addEventListener("click", (event) => event.target === box && box.close());
  box.addEventListener("close", () => {
    const id = opener?.dataset?.id;
    const again = id && $("recent").querySelector(`[data-id="${CSS.escape(id)}"]`);
    (again || opener)?.focus();
  });
}
