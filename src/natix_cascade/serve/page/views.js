// Five views of what the service has been doing: tabs, how far back, and a question every ten seconds while somebody looks.

import { call, Problem } from "./api.js";
import { $, clock, h } from "./dom.js";
import { panels } from "./panels.js";

const EVERY = 10000;
const LONGEST = 60000;
const WINDOWS = [5, 15, 60]; // minutes
const NAMES = Object.keys(panels);
const QUANTILES = ["overview", "models"]; // views that show some
const SLACK = 20; // seconds that a window may be short of what was asked for
const HASH = /^#views\/(\w+)(?:\/(\d+))?$/;
const built = {};
let chosen = NAMES[0];
let minutes = WINDOWS[0];
let latest = null; // {data, minutes}
let asked = 0;
let failures = 0;
let arriving = false; // by its address: what loads above may push it away once more
let timer = null;

const tab = (name) => $(`tab-${name}`);

function span(seconds) {
  const [m, rest] = [Math.floor(Math.round(seconds) / 60), Math.round(seconds) % 60];
  return m ? `${m} min${rest ? ` ${rest} s` : ""}` : `${rest} s`;
}

function note({ data, minutes: wanted }) {
  const until = `until ${clock(new Date(data.at * 1000).toISOString())}`;
  if (data.seconds < wanted * 60 - SLACK) return `The last ${span(data.seconds)}, ${until}: it does not remember more yet.`;
  const quantiles = QUANTILES.includes(chosen) ? " Quantiles are estimated within the buckets that the metrics count in." : "";
  return `The last ${wanted} minutes, ${until}.${quantiles}`;
}

/** Draw the chosen view from the last answer: also when the question's words have come. */
export function showViews() {
  if (!latest) return;
  $("views-note").textContent = note(latest);
  built[chosen].update(latest.data, latest.minutes);
}

function trouble(problem) {
  const off = problem.status === 404;
  const text = off ? "Metrics are switched off here, so there is nothing to show." : `${problem.title}. ${problem.status === 0 && latest ? "It is asked again and again, ever more slowly; these are the last figures." : problem.detail}`;
  const box = $("views-problem");
  box.classList.toggle("warn", !off);
  if (box.hidden || box.textContent !== text) box.textContent = text;
  box.hidden = false;
  $("views-body").hidden = off;
  $("views-body").classList.toggle("stale", latest !== null);
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  const mine = (asked += 1);
  const wanted = minutes;
  let wait = EVERY;
  try {
    const data = await call(`v1/views?minutes=${wanted}`);
    if (mine !== asked) return; // another window was chosen meanwhile
    latest = { data, minutes: wanted };
    failures = 0;
    $("views-problem").hidden = true;
    $("views-body").hidden = false;
    $("views-body").classList.remove("stale");
    showViews();
    if (arriving) $("views").scrollIntoView();
    arriving = false;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (mine !== asked) return;
    failures += 1;
    wait = problem.status === 404 ? LONGEST : Math.max(problem.wait ? problem.wait * 1000 : 0, Math.min(LONGEST, EVERY * 2 ** (failures - 1)));
    trouble(problem);
  }
  timer = setTimeout(poll, wait);
}

/** Remember the view in the address, without a step in the history. */
const remember = () => history.replaceState(null, "", `#views/${chosen}/${minutes}`);

/** Scroll the row of tabs, and nothing else, until the tab is seen. */
function reveal(node) {
  const [row, its] = [$("views-tabs").getBoundingClientRect(), node.getBoundingClientRect()];
  $("views-tabs").scrollLeft += Math.max(0, its.right - row.right) - Math.max(0, row.left - its.left);
}

function choose(name) {
  chosen = name;
  for (const each of NAMES) {
    tab(each).setAttribute("aria-selected", String(each === name));
    tab(each).tabIndex = each === name ? 0 : -1;
    $(`view-${each}`).hidden = each !== name;
  }
  reveal(tab(name));
  showViews();
}

function move(event) {
  const i = NAMES.indexOf(chosen);
  const next = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: NAMES.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  choose(NAMES[(next + NAMES.length) % NAMES.length]);
  tab(chosen).focus();
  remember();
}

/** Take the view from the address, and go there. */
function follow() {
  const found = HASH.exec(location.hash);
  if (!found || !NAMES.includes(found[1])) return false;
  if (WINDOWS.includes(Number(found[2]))) minutes = Number(found[2]);
  for (const input of document.getElementsByName("window")) input.checked = Number(input.value) === minutes;
  choose(found[1]);
  $("views").scrollIntoView();
  arriving = true;
  return true;
}

function windows() {
  const radio = (each) =>
    h("label", {}, h("input", { class: "vh", type: "radio", name: "window", value: String(each), checked: each === minutes, onchange: () => ((minutes = each), remember(), poll()) }), h("span", {}, `${each} min`));
  $("views-window").append(...WINDOWS.map(radio));
}

/** Build the views and begin to ask. */
export function startViews() {
  for (const name of NAMES) {
    built[name] = panels[name]();
    $(`view-${name}`).append(...built[name].nodes);
    tab(name).addEventListener("click", () => (choose(name), remember()));
  }
  $("views-tabs").addEventListener("keydown", move);
  windows();
  follow() || choose(chosen);
  window.addEventListener("hashchange", () => follow() && poll());
  document.addEventListener("visibilitychange", () => document.hidden || poll());
  poll();
}
