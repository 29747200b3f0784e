// Talks to the service: JSON, NDJSON streams, and problems in words.

import { h, say } from "./dom.js";

/** A request that failed; `title` and `detail` are for people, `wait` is how many seconds to wait before another try. */
export class Problem extends Error {
  constructor({ title, detail, status, wait }) {
    super(detail || title);
    Object.assign(this, { title, detail, status, wait });
  }
}

const GONE = { title: "The service does not answer", detail: "It may have stopped, or the network is down.", status: 0 };
const KEY = {
  title: "The service asks for a key",
  detail: "Reload the page. When the browser asks, give any user name and the key as the password.",
  status: 401,
};

function seconds(header) {
  if (!header) return null;
  const number = Number(header);
  const wait = Number.isFinite(number) ? number : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(wait) ? Math.max(1, Math.ceil(wait)) : null;
}

/** The service's words as a sentence. */
const sentence = (text) => text && text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

async function problemOf(response) {
  if (response.status === 401) return new Problem(KEY);
  let said = {};
  try {
    said = await response.json();
  } catch {
    // not a problem of ours (a proxy's page, perhaps): the status has to do
  }
  return new Problem({
    title: said.title || `The service answered ${response.status}`,
    detail: sentence(said.detail || ""),
    status: response.status,
    wait: seconds(response.headers.get("Retry-After")),
  });
}

async function send(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(GONE);
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** GET, or POST of `body` as JSON; returns the parsed answer. */
export async function call(path, body) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await send(path, body === undefined ? {} : post);
  try {
    return await response.json();
  } catch {
    throw new Problem(GONE);
  }
}

/** POST a picture and hand on each event of the answer as it arrives; rejects with a Problem, also for a broken stream. */
export async function infer(file, options, signal, onEvent) {
  const query = new URLSearchParams({ stream: "true", explain: "true", ...options });
  const type = file.type.startsWith("image/") ? file.type : "application/octet-stream";
  const response = await send(`v1/infer?${query}`, { method: "POST", body: file, headers: { "Content-Type": type }, signal });
  const lines = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let ended = false;
  const take = (line) => {
    if (!line.trim()) return;
    const event = JSON.parse(line);
    if (event.event === "problem") throw new Problem({ ...event.problem, detail: sentence(event.problem.detail || ""), wait: event.problem.retry_after_s });
    ended = event.event === "verdict";
    onEvent(event);
  };
  try {
    for (;;) {
      const { done, value } = await lines.read();
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      parts.forEach(take);
    }
    take(rest);
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    throw new Problem({ ...GONE, title: "The answer broke off" });
  }
  if (!ended) throw new Problem({ ...GONE, title: "The answer broke off" });
}

/** Show a problem in `box`, move the focus there if wanted, and offer another try where that may help. */
export function showProblem(box, problem, retry, focus = true) {
  clearInterval(box.timer);
  const again = h("button", { type: "button", onclick: retry }, "Try again");
  const reload = h("button", { type: "button", onclick: () => location.reload() }, "Reload");
  const note = h("span", { class: "soft" });
  const helps = retry && [0, 408, 429, 500, 502, 503, 504].includes(problem.status);
  box.replaceChildren(
    h("h3", {}, problem.title),
    problem.detail ? h("p", {}, problem.detail) : "",
    problem.status === 401 ? h("div", { class: "row" }, reload) : helps ? h("div", { class: "row" }, again, note) : "",
  );
  box.hidden = false;
  if (helps && problem.wait) {
    const until = Date.now() + problem.wait * 1000;
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      again.disabled = left > 0;
      note.textContent = left > 0 ? `may be tried again in ${left} s, at ${new Date(until).toLocaleTimeString([], { hour12: false })}` : "may be tried again now";
      if (left > 0) return;
      clearInterval(box.timer);
      say("You may try again now.");
    };
    box.timer = setInterval(tick, 250);
    tick();
  }
  if (focus) box.focus();
  else say(`${problem.title}. ${problem.detail || ""}`);
}

/** Take the problem away. */
export function clearProblem(box) {
  clearInterval(box.timer);
  box.hidden = true;
  box.replaceChildren();
}
