// The five views. Each is built once and then told of every answer of the service: `{nodes, update(data, minutes)}`.

import { LineChart } from "./charts.js";
import { count, h, percent, sign, time, words } from "./dom.js";
import { bars, coefficient, figure, gib, mean, money, rate, reliability, share, spans, Table, tile, tiles } from "./figures.js";

const NO_VERDICT = "no verdict in these minutes";
const NO_PICTURE = "no picture in these minutes";
const NO_TRUTH = "nobody has told the truth yet";
const BREAKERS = { closed: ["good", "answering"], half_open: ["wait", "being tried again"], open: ["bad", "left alone"] };

const ERRORS = { picture: ["unreadable picture"], deadline: ["out of time", "out of time"], model: ["by a model", "by models"], other: ["other", "others"] };

const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;
const sum = (counts) => Object.values(counts).reduce((all, each) => all + each, 0);
/** Shares of what was counted at all. */
const parts = (counts) => Object.fromEntries(Object.entries(counts).filter(([, number]) => number).map(([name, number]) => [name, number / sum(counts)]));
const known = (value) => value !== null && value !== undefined;

/** A number on an axis. */
const plain = (value) => (value >= 1e4 || value < 1e-6 ? value.toLocaleString("en") : String(Number(value.toPrecision(4))));

/** Confidence is at least one half, unless the thresholds lie oddly. */
const sureness = (all) => (Math.min(1, ...all) < 0.5 ? [0, 0.25, 0.5, 0.75, 1] : [0.5, 0.6, 0.7, 0.8, 0.9, 1]);

/** Rows of bars by share, the largest first; levels in the order of the cascade. */
function rows(shares, note = () => null) {
  const rank = (name) => (words.levels || []).indexOf(name) + 1 || Infinity;
  const byRank = ([a, x], [b, y]) => (rank(a) === rank(b) ? y - x : rank(a) - rank(b));
  return Object.entries(shares).sort(byRank).map(([name, part]) => ({ name, label: name.replaceAll("_", " "), share: part, note: note(part) }));
}

function overview() {
  const rates = new LineChart({ title: "Verdicts a second", lines: [{ name: "per_s", label: "verdicts a second" }], show: rate, axis: plain, least: 0.3, empty: NO_VERDICT });
  const latency = new LineChart({ title: "Time to a verdict", lines: ["p50", "p95", "p99"].map((name) => ({ name: `${name}_ms`, label: name })), show: time, axis: (ms) => (ms >= 1000 ? `${plain(ms / 1000)} s` : `${plain(ms)} ms`), least: 3, empty: NO_VERDICT });
  const trouble = new LineChart({ title: "Not as it should be", lines: [{ name: "error_ratio", label: "without a verdict" }, { name: "degraded_ratio", label: "degraded" }], show: percent, axis: share, least: 0.03, empty: NO_PICTURE });
  const top = h("div");
  const below = h("div", { class: "halves" });
  const work = h("p", { class: "soft small" });
  const update = (data, minutes) => {
    const { overview: now } = data.views;
    const kinds = Object.entries(now.errors).map(([kind, number]) => many(number, ...(ERRORS[kind] || [kind, kind])));
    const refused = sum(now.rejected);
    const by = (shares) => rows(shares, (part) => count(Math.round(part * now.verdicts)));
    top.replaceChildren(
      tiles(
        tile("Verdicts a second", "overview.per_s", now.per_s, rate, `${count(now.verdicts)} in all`),
        tile("Time to a verdict, p95", "overview.latency_ms.p95", now.latency_ms.p95, time, `p50 ${time(now.latency_ms.p50)}, p99 ${time(now.latency_ms.p99)}`, NO_VERDICT),
        tile(`Said \u201c${words.positive}\u201d`, "overview.yes_ratio", now.yes_ratio, percent, "of the verdicts", NO_VERDICT),
        tile("Without a verdict", "overview.error_ratio", now.error_ratio, percent, kinds.join(", ") || "no error", NO_PICTURE),
        tile("Degraded", "overview.degraded_ratio", now.degraded_ratio, percent, now.deadline_misses ? `time ran out for ${count(now.deadline_misses)}` : "time ran out for none", NO_VERDICT),
        tile("Under way now", "overview.active", now.active, count, refused ? `${count(refused)} refused before` : "none refused before"),
      ),
    );
    for (const chart of [rates, latency, trouble]) chart.update(data, minutes);
    below.replaceChildren(
      bars("Where pictures were answered", by(now.exits), `There was ${NO_VERDICT}.`),
      bars("Why there", by(now.reasons), `There was ${NO_VERDICT}.`),
      refused ? bars("Refused before their picture was decoded", rows(parts(now.rejected), (part) => count(Math.round(part * refused)))) : "",
    );
    work.textContent = now.at_work.map((one) => `At work: ${one.cascade} with policy ${one.policy}.`).join(" ");
  };
  return { nodes: [top, h("div", { class: "charts" }, rates.node, latency.node, trouble.node), below, work], update };
}

function models() {
  const table = new Table("Models", ["Model", "State", "Answers a second", "p50", "p95", "Queue p95", "Batch", "Failed", "Cost an hour"], 2);
  const note = h("p", { class: "soft small" });
  const reach = h("div");
  const cells = (one) => {
    const [state, said] = BREAKERS[one.breaker] || ["wait", one.breaker];
    return [
      one.model,
      h("span", { class: "breaker" }, sign(state), ` ${said}`),
      figure(one.per_s, rate),
      figure(one.latency_ms.p50, time),
      figure(one.latency_ms.p95, time),
      figure(one.queue_ms.p95, time),
      figure(one.batch, mean),
      figure(one.failure_ratio, percent),
      figure(one.usd_per_hour, money),
    ];
  };
  const update = (data) => {
    const all = data.views.models;
    table.node.hidden = !all.length;
    table.update(all.map((one) => ({ name: one.model, cells: cells(one) })));
    const gaps = all.some((one) => !known(one.latency_ms.p50) || !known(one.queue_ms.p95) || !known(one.batch));
    note.textContent = all.length
      ? `p50, p95: from question to answer, of which the queue is the wait before the model took it up. Batch: pictures answered together, on average.${gaps ? " \u2013: not asked in these minutes, or a model that answers without queue and batch." : ""}`
      : "No model has been asked yet.";
    reach.replaceChildren(spans("From question to answer: p50 to p95, a tick at p99", all.map((one) => ({ name: one.model, ...one.latency_ms })), "No model has answered in these minutes."));
  };
  return { nodes: [table.node, note, reach], update };
}

function quality() {
  const sure = new LineChart({ title: "Mean confidence", lines: [{ name: "confidence", label: "confidence" }], show: percent, axis: share, scale: sureness, empty: NO_VERDICT });
  const yes = new LineChart({ title: "Said yes, disputed", lines: [{ name: "yes_ratio", label: "said yes" }, { name: "disputed_ratio", label: "disputed" }], show: percent, axis: share, least: 0.3, empty: NO_VERDICT });
  const tenths = new Table("Calibration by tenths", ["P(yes)", "Said", "True", "Verdicts"]);
  const diagram = h("div", { class: "diagram" });
  const [top, calibrated, judged] = [h("div"), h("p", { class: "soft small" }), h("div")];
  const update = (data, minutes) => {
    const { quality: now } = data.views;
    const { feedback, calibration, hour, judge } = now;
    const before = (name, write) => (hour && known(hour[name]) ? `${write(hour[name])} over ${Math.round(hour.seconds / 60)} min` : "nothing longer to compare with");
    const promise = (name, write) => {
      const promised = feedback.promised[name];
      if (!known(promised)) return "the policy promises none";
      return feedback[name] < promised ? h("span", { class: "short" }, `below the promised ${write(promised)}`) : `promised: at least ${write(promised)}`;
    };
    const truths = `The truth of ${many(feedback.verdicts, "verdict")} was told since the start.`;
    top.replaceChildren(
      tiles(
        tile("Mean confidence", "quality.confidence", now.confidence, percent, before("confidence", percent), NO_VERDICT),
        tile("Disputed", "quality.disputed_ratio", now.disputed_ratio, percent, before("disputed_ratio", percent), NO_VERDICT),
        tile("Moved to other levels", "quality.exit_shift", now.exit_shift, percent, `against the last ${hour ? Math.round(hour.seconds / 60) : 60} min`, known(now.confidence) ? "nothing longer to compare with" : NO_VERDICT),
        tile("Accuracy", "quality.feedback.accuracy", feedback.accuracy, percent, promise("accuracy", percent), NO_TRUTH),
        tile("MCC", "quality.feedback.mcc", feedback.mcc, coefficient, promise("mcc", coefficient), NO_TRUTH),
        tile("Judge's score", "quality.judge.score", judge.score, coefficient, "mean of those drawn by chance", "no score in these minutes"),
      ),
    );
    for (const chart of [sure, yes]) chart.update(data, minutes);
    diagram.replaceChildren(reliability(calibration.tenths));
    tenths.node.hidden = !calibration.tenths.length;
    tenths.update(calibration.tenths.map((one) => ({ name: String(one.tenth), cells: [`.${one.tenth} to ${one.tenth === 9 ? "1" : `.${one.tenth + 1}`}`, figure(one.said, percent), figure(one.true, percent), figure(one.verdicts, count)] })));
    calibrated.textContent = known(calibration.error)
      ? `${truths} What was said and what is true lie ${percent(calibration.error)} apart on average; on the line they would be the same.`
      : "Nobody has told the truth yet. \u201cIs it true?\u201d under a picture takes it, and so does POST /v1/feedback.";
    const asked = sum(judge.outcomes);
    judged.replaceChildren(bars("What the judge did", rows(parts(judge.outcomes), (part) => count(Math.round(part * asked))), "The judge was asked about no verdict in these minutes."));
  };
  const calibration = h("div", { class: "calibration" }, h("h3", {}, "Calibration: said against true"), h("div", { class: "pair" }, diagram, h("div", {}, tenths.node, calibrated)));
  return { nodes: [top, h("div", { class: "charts" }, sure.node, yes.node, judged), calibration], update };
}

function cost() {
  const chart = new LineChart({ title: "Cost an hour", lines: [{ name: "usd_per_hour", label: "cost an hour" }], show: money, axis: (usd) => `$${plain(usd)}`, least: 1e-6, empty: NO_VERDICT });
  const [top, below] = [h("div"), h("div", { class: "halves" })];
  const update = (data, minutes) => {
    const { cost: now } = data.views;
    const each = (part) => `${money(part * now.usd_per_hour)} /h`;
    const none = now.usd_per_1000 === null ? `There was ${NO_VERDICT}.` : "What answered in these minutes is priced at nothing.";
    top.replaceChildren(
      tiles(
        tile("Cost an hour", "cost.usd_per_hour", now.usd_per_hour, money, "at the rate of these minutes"),
        tile("Per thousand verdicts", "cost.usd_per_1000", now.usd_per_1000, money, "in these minutes", NO_VERDICT),
        tile("In all", "cost.usd", now.usd, money, "since the start"),
        tile("The judge an hour", "cost.judge_usd_per_hour", now.judge_usd_per_hour, money, `${money(now.judge_usd)} since the start`),
      ),
    );
    chart.update(data, minutes);
    below.replaceChildren(bars("By level", rows(now.by_level, each), none), bars("By model", rows(now.by_model, each), none));
  };
  return { nodes: [top, h("div", { class: "charts" }, chart.node), below], update };
}

function gpus() {
  const [none, cards] = [h("p", { class: "soft" }, "No GPU is seen from here: there is none, or its driver cannot be asked. Models that run on the processor or on other servers need none."), h("div", { class: "gpus" })];
  const line = (title, part, said) => h("li", {}, h("span", { class: "name" }, title), known(part) ? h("span", { class: "bar share", "--p": String(part), "aria-hidden": "true" }, h("span", { class: "bar-fill" })) : h("span"), h("span", { class: "value" }, said));
  const silent = () => h("span", { class: "soft" }, "– not told by its driver");
  const card = (gpu) => {
    const full = known(gpu.memory_bytes) && gpu.memory_total_bytes ? gpu.memory_bytes / gpu.memory_total_bytes : null;
    const of = known(gpu.memory_total_bytes) ? h("span", { class: "soft" }, `of ${gib(gpu.memory_total_bytes)}`) : "";
    return h(
      "div",
      { class: "shares", "data-name": gpu.gpu_id },
      h("h3", {}, `GPU ${gpu.gpu_id}`),
      h(
        "ul",
        {},
        line("Memory", full, known(gpu.memory_bytes) ? [h("b", {}, figure(gpu.memory_bytes, gib)), of] : silent()),
        line("Computing", gpu.utilization, known(gpu.utilization) ? [h("b", {}, figure(gpu.utilization, percent)), h("span", { class: "soft" }, "of the time")] : silent()),
        line("Power", null, known(gpu.power_watts) ? [h("b", {}, figure(gpu.power_watts, (watts) => `${count(watts)} W`))] : silent()),
      ),
    );
  };
  const update = (data) => {
    none.hidden = data.views.gpus.length > 0;
    cards.replaceChildren(...data.views.gpus.map(card));
  };
  return { nodes: [none, cards], update };
}

/** The views, by the names of their tabs. */
export const panels = { overview, models, quality, cost, gpus };
