// The answer in large letters, the figures beside it and the reasons below.

import { $, answerTitle, answerWords, arithmetic, cost, fact, h, mark, percent, placeWords, saysYes, sign, time, words } from "./dom.js";
import { feedbackPanel } from "./feedback.js";

function put(answer, more, truth, id = null) {
  if (id) $("answer").dataset.verdict = id;
  else delete $("answer").dataset.verdict;
  $("answer").replaceChildren(...answer);
  $("more").replaceChildren(...more);
  $("truth-body").replaceChildren(...truth);
  $("truth").hidden = truth.length === 0;
}

/** Before any picture: what to expect. */
export function showInvitation() {
  const sides = [true, false].map((yes) => h("li", {}, mark(yes), h("span", {}, answerTitle(yes))));
  put([h("p", { class: "headline waiting" }, "The answer appears here"), h("ul", { class: "sides" }, sides)], [], []);
}

/** While it is being asked. */
export function showAsking(text) {
  put([h("p", { class: "headline waiting" }, "Looking"), h("p", { class: "soft" }, text)], [], []);
}

/** Nothing to show: the problem stands above. */
export const clearAnswer = () => put([], [], []);

/** P(yes) on a line from no to yes. */
function scale(verdict) {
  const p = verdict.probability;
  return h(
    "div",
    { class: "scale", role: "img", "aria-label": `P(${words.positive}) is ${p.toFixed(3)}; yes begins at 0.5` },
    h("span", { class: "scale-line", "--p": String(p) }, h("span", { class: "scale-half" }), h("span", { class: `scale-dot ${saysYes(verdict) ? "yes" : "no"}` })),
    h("span", { class: "scale-ends" }, h("span", {}, answerWords(false)), h("span", {}, `P(${words.positive}) = ${p.toFixed(3)}`), h("span", {}, words.positive)),
  );
}

/** What was degraded, shown where it cannot be missed. */
export function degradedBox(verdict) {
  if (!verdict.degraded) return null;
  const why = (verdict.reasons || []).filter((reason) => /did not answer|deadline|failed|breaker|not reached|time ran out/.test(reason));
  const shown = why.length ? why : (verdict.reasons || []).slice(-1);
  return h("div", { class: "box warn" }, h("h3", {}, sign("bad"), " Degraded: not all that should have looked did"), h("ul", {}, shown.map((reason) => h("li", {}, reason))));
}

/** The figures of a verdict as a definition list. */
export function figures(verdict) {
  const [sum, unit] = cost(verdict.cost_usd);
  return h(
    "dl",
    { class: "tiles" },
    fact("Time", time(verdict.latency_ms), "the whole way"),
    fact("Cost", sum, unit),
    fact("Arithmetic", arithmetic(verdict.gmacs), `multiply-adds (${Number(verdict.gmacs.toPrecision(3))} GMACs)`),
    fact("Agreement", percent(verdict.consensus_ratio), "of the votes"),
  );
}

/** The reasons as a list. */
export const reasons = (verdict) => h("ul", { class: "reasons" }, (verdict.reasons || []).map((reason) => h("li", {}, reason)));

/** The headline of an answer. */
export function headline(verdict, tag = "p") {
  const yes = saysYes(verdict);
  return h(tag, { class: `headline ${yes ? "yes" : "no"}` }, mark(yes), h("span", {}, answerTitle(yes)));
}

/** Show a verdict; `picture` gives what was judged, for feedback. */
export function showAnswer(verdict, how, picture, onStored) {
  put(
    [
      how ? h("p", { class: "kicker" }, how) : "",
      headline(verdict),
      h("p", { class: "sure" }, h("b", {}, percent(verdict.confidence)), " confident, answered at ", h("b", {}, verdict.exit_level)),
      scale(verdict),
      degradedBox(verdict) || "",
    ],
    [
      h("h3", {}, "What it took"),
      figures(verdict),
      h("h3", {}, "Why it ended there"),
      reasons(verdict),
      verdict.place ? h("p", { class: "soft small" }, `Taken at ${placeWords(verdict.place)}.`) : "",
    ],
    [feedbackPanel(verdict, picture, onStored)],
    verdict.verdict_id,
  );
}
