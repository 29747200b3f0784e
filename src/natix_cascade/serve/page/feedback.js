// "That is right", "That is wrong": the truth goes back to the service.

import { call } from "./api.js";
import { answerTitle, answerWords, h, saysYes } from "./dom.js";

let names = 0;

const base64 = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });

/** What was acknowledged, in words. */
export function acknowledged(stored) {
  const truth = answerWords(stored.label);
  const right = stored.was_right ? `The answer was right: ${truth}.` : `The right answer is ${truth}.`;
  return `${right} ${stored.picture_kept ? "The picture was kept for the models to learn from." : "No picture was kept."}`;
}

/**
 * Buttons, a note and what became of it, for one verdict.
 *
 * `picture` returns what was judged (a Blob or a data URL) or null when the page no longer has it.
 */
export function feedbackPanel(verdict, picture, onStored = () => {}) {
  const id = `note-${(names += 1)}`;
  const yes = saysYes(verdict);
  const result = h("p", { class: "result", role: "status" });
  const note = h("input", { id, maxlength: 500, autocomplete: "off", placeholder: "what the models should know" });
  const along = h("input", { type: "checkbox", checked: true });
  const send = async (label) => {
    buttons.forEach((button) => (button.disabled = true));
    result.className = "result";
    result.textContent = "Storing it.";
    try {
      const body = { verdict_id: verdict.verdict_id, label };
      if (note.value.trim()) body.note = note.value.trim();
      const judged = picture && along.checked ? picture() : null;
      if (judged) body.image = typeof judged === "string" ? judged.slice(judged.indexOf(",") + 1) : await base64(judged);
      const stored = await call("v1/feedback", body);
      result.classList.add("good");
      result.textContent = `Stored. ${acknowledged(stored)}`;
      verdict.said = stored;
      onStored(stored);
    } catch (problem) {
      result.classList.add("wrong");
      const wait = problem.wait ? ` It may be tried again in ${problem.wait} s.` : "";
      result.textContent = `Not stored: ${problem.title || "the picture could not be read"}. ${problem.detail || ""}${wait}`;
    }
    buttons.forEach((button) => (button.disabled = false));
    if (document.activeElement === document.body) buttons[label === yes ? 0 : 1].focus();
  };
  const buttons = [
    h("button", { type: "button", onclick: () => send(yes) }, "That is right"),
    h("button", { type: "button", onclick: () => send(!yes) }, "That is wrong"),
  ];
  if (verdict.said) {
    result.textContent = `Stored. ${acknowledged(verdict.said)}`;
    result.classList.add("good");
  }
  if (verdict.stored === false) return h("p", { class: "soft small" }, "This verdict was not stored, so it cannot be corrected.");
  return h(
    "div",
    { class: "feedback", role: "group", "aria-label": `Is it true? The answer was: ${answerTitle(yes)}` },
    h("div", { class: "row" }, buttons),
    h("label", { class: "note", for: id }, "Note ", h("span", { class: "soft" }, "optional")),
    note,
    picture && h("label", { class: "tick" }, along, " Send the picture along, so that the models can learn from it"),
    result,
  );
}
