// One picture: how it comes in, how it is asked about, plain and marked, and how it fares when it is spoilt.

import { clearProblem, infer, showProblem } from "./api.js";
import { clearAnswer, showAnswer, showAsking } from "./answer.js";
import { $, answerTitle, answerWords, bytes, h, mark, percent, saysYes, say, words } from "./dom.js";
import { exifPlace, foundPlace, readPlace } from "./place.js";
import { endWay, replay, resetWay, Way } from "./way.js";

const KINDS = {
  "": ["as it is", "The photo as it was chosen."],
  L0: ["L0", "Cut to its central square and shrunk to 224 pixels."],
  L1: ["L1", "Turned by up to 20 degrees, a random square cut out, shrunk to 224 pixels."],
  L2: ["L2", "As L1; then paler, darker or coarser, each by the toss of a coin."],
  L3: ["L3", "As L1; then paler, darker, coarser, noisy and blurred, each to a random degree."],
};
const DRAWN = new Set(["L1", "L2", "L3"]); // L0 leaves nothing to chance

let photo = null; // {file, url, name, unseen}
let results = []; // of this photo: {kind, seed, verdict, events}
let shown = null;
let seed = 1;
let asking = null; // AbortController of what is under way
let after = () => {};

const key = (kind) => (DRAWN.has(kind) ? `${kind}, draw ${seed}` : KINDS[kind][0]);
const kindNow = () => document.querySelector("input[name=kind]:checked")?.value || "";

/** Take a new picture, from wherever it comes. */
async function take(file) {
  if (!file) return;
  asking?.abort();
  if (photo) URL.revokeObjectURL(photo.url);
  photo = { file, url: URL.createObjectURL(file), name: (file.name || "pasted picture").slice(0, 200), unseen: false };
  results = [];
  shown = null;
  seed = 1;
  document.querySelector("input[name=kind][value='']").checked = true;
  $("strip").replaceChildren();
  $("trials").hidden = true;
  $("again").hidden = false;
  showPlain(photo.url, photo.name, `${photo.name}, ${bytes(file.size)}`);
  clearProblem($("problem"));
  showAsking("");
  resetWay();
  const own = photo;
  const place = await exifPlace(file);
  if (own !== photo) return;
  foundPlace(place);
  ask("");
}

function showPlain(url, name, caption) {
  const plain = $("plain");
  plain.onerror = () => {
    $("shown").classList.add("unseen");
    $("caption").textContent = `${name}: the browser cannot show this file`;
  };
  $("shown").classList.remove("unseen", "spoilt");
  plain.src = url;
  plain.alt = `The picture ${name}`;
  $("caption").textContent = caption;
  $("invite").hidden = true;
  $("shown").hidden = false;
  $("marked").removeAttribute("src");
  mayMark(null);
}

/** Offer the marked picture, or take the offer back. */
function mayMark(explanation) {
  const toggle = $("toggle");
  const marked = explanation?.heat_map && explanation.marked_picture;
  toggle.disabled = !marked;
  if (!marked) {
    $("marked").hidden = true;
    $("legend").hidden = true;
    return;
  }
  $("marked").src = marked;
  $("marked").alt = `The picture with the evidence for ${words.positive} laid over it`;
  const heat = (explanation.heat_map || []).flat().filter((value) => value !== null);
  const most = heat.length ? Math.max(...heat) : 0;
  $("legend-words").textContent = `evidence for ${words.positive}, log-odds 0 to 4 and more; ${most > 0 ? `highest here ${most.toFixed(1)}` : "none here"}`;
  showMarked(toggle.getAttribute("aria-pressed") === "true");
}

function showMarked(on) {
  $("toggle").setAttribute("aria-pressed", String(on));
  $("marked").hidden = !on;
  $("legend").hidden = !on;
}

function toggle() {
  if ($("toggle").disabled) return;
  const on = $("toggle").getAttribute("aria-pressed") !== "true";
  showMarked(on);
  say(on ? "The evidence is laid over the picture." : "The plain picture is shown.");
}

/** Ask about the photo, as it is or as the subnet would send it; `follow` scrolls to where it happens. */
async function ask(kind, follow = true) {
  const place = readPlace();
  if (!photo || place === undefined) return;
  asking?.abort();
  const own = (asking = new AbortController());
  clearProblem($("problem"));
  const what = kind ? `the picture as ${key(kind)}` : photo.name;
  showAsking(`${bytes(photo.file.size)} on the way to the service.`);
  say(`Looking at ${what}.`);
  document.body.classList.add("busy");
  if (follow) $("levels").scrollIntoView({ block: "nearest" });
  const options = { name: photo.name };
  if (place) options.place = `${place.lat},${place.lon}`;
  if (kind) Object.assign(options, { augment: kind, seed: String(seed) });
  const way = new Way(own.signal);
  const result = { kind, seed, label: key(kind), events: [], verdict: null };
  try {
    await infer(photo.file, options, own.signal, (event) => {
      if (event.event === "verdict") result.verdict = event.verdict;
      else result.events.push(event);
      way.take(event);
    });
    await way.queue;
    if (own.signal.aborted) return;
    results = results.filter((item) => item.label !== result.label || kind);
    results.push(result);
    show(result, false);
    const verdict = result.verdict;
    say(`${answerTitle(saysYes(verdict))}, ${percent(verdict.confidence)} confident, answered at ${verdict.exit_level}.${verdict.degraded ? " The answer is degraded." : ""}`);
    if (follow) $("answer").scrollIntoView({ block: "nearest" });
    after(verdict);
  } catch (problem) {
    if (problem.name === "AbortError" || own.signal.aborted) return;
    clearAnswer();
    resetWay();
    showProblem($("problem"), problem, () => ask(kind, follow));
  } finally {
    if (own === asking) document.body.classList.remove("busy");
  }
}

/** Show one result: its picture, its way, its answer. */
function show(result, again) {
  shown = result;
  const { verdict, kind, label } = result;
  const explanation = verdict.explanation || {};
  const judged = kind ? explanation.picture : null;
  showPlain(judged || photo.url, photo.name, kind ? `${photo.name}, judged as ${label}` : `${photo.name}, ${bytes(photo.file.size)}`);
  $("shown").classList.toggle("spoilt", Boolean(kind));
  mayMark(explanation);
  if (again) replay(result.events, verdict);
  else endWay(verdict);
  const how = kind ? `Judged as ${label}` : "";
  showAnswer(verdict, how, () => (kind ? judged : photo.file), () => after(verdict));
  $("trials").hidden = false;
  choose(kind);
  strip();
}

/** Bring the radio group in line with what is shown. */
function choose(kind) {
  document.querySelector(`input[name=kind][value='${kind}']`).checked = true;
  $("redraw").disabled = !DRAWN.has(kind);
  $("trial-note").textContent = KINDS[kind][1];
}

function strip() {
  const first = results.find((item) => !item.kind);
  const items = results.map((result) => {
    const yes = saysYes(result.verdict);
    const flips = first && yes !== saysYes(first.verdict);
    const source = result.verdict.explanation?.picture || photo.url;
    const button = h(
      "button",
      { type: "button", class: "try", "aria-pressed": String(result === shown), onclick: () => choice(result) },
      h("img", { src: source, alt: "" }),
      h("span", { class: "try-how" }, result.label),
      h("span", { class: "try-said" }, mark(yes), ` ${answerWords(yes)}`),
      h("span", { class: "try-sure" }, percent(result.verdict.confidence)),
      flips ? h("span", { class: "flip" }, "flips") : "",
    );
    return h("li", {}, button);
  });
  const row = $("strip");
  row.replaceChildren(...items);
  const at = items[results.indexOf(shown)];
  row.scrollLeft = Math.max(0, at.offsetLeft - row.offsetLeft - (row.clientWidth - at.clientWidth) / 2);
}

function choice(result) {
  asking?.abort();
  document.body.classList.remove("busy");
  clearProblem($("problem"));
  if (DRAWN.has(result.kind)) seed = result.seed;
  const at = results.indexOf(result);
  show(result, true);
  $("strip").children[at].firstChild.focus();
  say(`${result.label}: ${answerTitle(saysYes(result.verdict))}, ${percent(result.verdict.confidence)} confident.`);
}

function want(kind) {
  $("redraw").disabled = !DRAWN.has(kind);
  $("trial-note").textContent = KINDS[kind][1];
  const known = results.find((item) => item.label === key(kind));
  if (!known) return ask(kind, false);
  asking?.abort();
  show(known, true);
}

function wireTrials() {
  const radios = Object.entries(KINDS).map(([kind, [name]]) =>
    h("label", {}, h("input", { type: "radio", name: "kind", value: kind, class: "vh", checked: !kind }), h("span", {}, name)),
  );
  $("levels-choice").append(...radios);
  let soon;
  $("levels-choice").addEventListener("change", () => {
    clearTimeout(soon);
    soon = setTimeout(() => want(kindNow()), 120); // arrow keys run through the group
  });
  $("redraw").addEventListener("click", () => {
    const kind = kindNow();
    seed = Math.max(seed, ...results.filter((item) => DRAWN.has(item.kind)).map((item) => item.seed)) + 1;
    ask(kind, false);
  });
}

const typing = (node) => node instanceof HTMLElement && node.matches("input:not([type=file]):not([type=radio]):not([type=checkbox]), textarea");

/** Wire up everything by which a picture comes in; `done` is called with each new verdict. */
export function startLooking(done) {
  after = done;
  for (const id of ["file", "camera"]) {
    $(id).addEventListener("change", (event) => {
      take(event.target.files[0]);
      event.target.value = ""; // the same file may be chosen again
    });
  }
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files || [])][0];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
  let depth = 0;
  const lit = (on) => $("drop").classList.toggle("over", on);
  const carries = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  addEventListener("dragenter", (event) => carries(event) && lit((depth += 1) > 0));
  addEventListener("dragleave", (event) => carries(event) && lit((depth = Math.max(0, depth - 1)) > 0));
  addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    lit(false);
    take(event.dataTransfer.files[0]);
  });
  $("toggle").addEventListener("click", toggle);
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "m" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!typing(event.target) && !$("details").open) toggle();
  });
  wireTrials();
  return () => photo && ask(kindNow());
}
