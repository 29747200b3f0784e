// Brings the parts of the page together.

import { call, clearProblem, Problem, showProblem } from "./api.js";
import { showInvitation } from "./answer.js";
import { $, words } from "./dom.js";
import { startLive } from "./live.js";
import { startLooking } from "./look.js";
import { startPlace } from "./place.js";
import { refresh, startRecent } from "./recent.js";
import { showViews, startViews } from "./views.js";
import { setLevels } from "./way.js";

let asked = false;
let unread = false;

/** Read the question and the levels: everything on the page that names them comes from here. */
async function readCascade() {
  try {
    const cascade = await call("v1/cascade");
    Object.assign(words, cascade.question);
    $("question").textContent = words.text;
    $("cascade-name").textContent = cascade.cascade || cascade.name || "";
    document.title = words.text;
    if (!asked) showInvitation();
    setLevels(cascade.levels, !asked);
    showViews();
    if (unread) clearProblem($("problem"));
    unread = false;
    await refresh();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (words.id) {
      setTimeout(readCascade, 5000); // the live panel says what is wrong; what was read still stands
      return;
    }
    unread = true;
    showProblem($("problem"), problem, readCascade, false);
  }
}

startRecent();
startPlace(
  startLooking(() => {
    asked = true;
    refresh();
  }),
);
startLive(readCascade);
startViews();
readCascade();
