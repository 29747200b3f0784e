// Verdicts that have a place, as an SVG: equirectangular, fitted to the points, with degrees and a scale bar. No tiles.

import { answerTitle, clock, h, mark, percent, placeWords, s, saysYes } from "./dom.js";

const W = 640;
const H = 340;
const EDGE = { left: 14, right: 14, top: 14, bottom: 30 };
const METRES = 111320; // of one degree of latitude
const LEAST = 0.0012; // degrees that the map spans at least: some 130 m

const nice = (rough, steps = [1, 2, 5, 10]) => {
  const power = 10 ** Math.floor(Math.log10(rough));
  return steps.map((step) => step * power).find((step) => step >= rough) || 10 * power;
};

function degrees(value, step, plus, minus) {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const wrapped = value > 180 ? value - 360 : value;
  return `${Math.abs(wrapped).toFixed(digits)}° ${Math.abs(wrapped) < 1e-9 ? "" : wrapped < 0 ? minus : plus}`.trim();
}

/** Points across the date line are drawn beside each other. */
function unwrap(items) {
  const lons = items.map((item) => item.place.lon);
  const across = Math.max(...lons) - Math.min(...lons) > 180;
  return items.map((item) => ({ item, lat: item.place.lat, lon: across && item.place.lon < 0 ? item.place.lon + 360 : item.place.lon }));
}

function fit(points) {
  const lats = points.map((point) => point.lat);
  const lons = points.map((point) => point.lon);
  const [south, north, west, east] = [Math.min(...lats), Math.max(...lats), Math.min(...lons), Math.max(...lons)];
  const middle = { lat: (south + north) / 2, lon: (west + east) / 2 };
  const squeeze = Math.max(0.05, Math.cos((middle.lat * Math.PI) / 180));
  const [wide, high] = [W - EDGE.left - EDGE.right, H - EDGE.top - EDGE.bottom];
  const span = Math.max(((north - south) * 1.3) / high, ((east - west) * squeeze * 1.3) / wide, LEAST / high);
  const x = (lon) => EDGE.left + wide / 2 + ((lon - middle.lon) * squeeze) / span;
  const y = (lat) => EDGE.top + high / 2 - (lat - middle.lat) / span;
  return { x, y, span, squeeze, middle, wide, high };
}

function graticule({ x, y, span, squeeze, middle, wide, high }) {
  const lines = [];
  const step = nice((span * wide) / squeeze / 4.5);
  for (let i = Math.ceil((middle.lon - (span * wide) / squeeze / 2) / step); x(i * step) < W - EDGE.right; i += 1) {
    const at = x(i * step);
    if (at < EDGE.left) continue;
    lines.push(s("line", { class: "grid", x1: at, x2: at, y1: EDGE.top, y2: H - EDGE.bottom }));
    lines.push(s("text", { class: "tick", x: at, y: H - EDGE.bottom + 18, "text-anchor": "middle" }, degrees(i * step, step, "E", "W")));
  }
  const up = nice((span * high) / 3.2);
  for (let i = Math.ceil((middle.lat - (span * high) / 2) / up); y(i * up) > EDGE.top; i += 1) {
    const at = y(i * up);
    lines.push(s("line", { class: "grid", x1: EDGE.left, x2: W - EDGE.right, y1: at, y2: at }));
    lines.push(s("text", { class: "tick halo", x: EDGE.left + 6, y: at - 5 }, degrees(i * up, up, "N", "S")));
  }
  return lines;
}

function scaleBar({ span }) {
  const metres = nice(span * METRES * 80);
  const long = metres / (span * METRES);
  const right = W - EDGE.right - 12;
  const y = H - EDGE.bottom - 12;
  const text = metres >= 1000 ? `${metres / 1000} km` : `${metres} m`;
  return s(
    "g",
    { class: "scale-bar" },
    s("path", { d: `M${right - long} ${y - 5}v5H${right}v-5` }),
    s("text", { class: "halo", x: right - long / 2, y: y - 9, "text-anchor": "middle" }, text),
  );
}

function point({ item, lat, lon }, view, open) {
  const yes = saysYes(item);
  const [px, py] = [view.x(lon), view.y(lat)];
  const words = `${answerTitle(yes)}, ${percent(item.confidence)}`;
  const shape = yes ? s("path", { d: "M0-8 8 0 0 8-8 0z" }) : s("circle", { r: 6 });
  const [dx, anchor] = px > W * 0.7 ? [-13, "end"] : [13, "start"];
  const label = s("text", { class: "point-label halo", x: dx, y: py < 40 ? 16 : -8, "text-anchor": anchor }, `${words}, ${clock(item.created)}`);
  return s(
    "g",
    {
      class: `point ${yes ? "yes" : "no"}`,
      transform: `translate(${px.toFixed(1)} ${py.toFixed(1)})`,
      tabindex: 0,
      role: "button",
      "aria-label": `${words}, at ${placeWords(item.place)}, ${clock(item.created)}`,
      onclick: () => open(item.verdict_id),
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        open(item.verdict_id);
      },
    },
    s("circle", { class: "reach", r: 14 }),
    shape,
    label,
  );
}

/** Draw the verdicts that have a place into `figure`, or hide it when there are none. */
export function drawMap(figure, verdicts, open) {
  const placed = verdicts.filter((item) => item.place);
  figure.hidden = placed.length === 0;
  if (!placed.length) return figure.replaceChildren();
  const points = unwrap(placed).reverse(); // the latest on top
  const view = fit(points);
  const yes = placed.filter(saysYes).length;
  const map = s(
    "svg",
    { viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": `Map of ${placed.length} verdicts: ${yes} yes, ${placed.length - yes} no` },
    s("rect", { class: "sea", x: EDGE.left, y: EDGE.top, width: view.wide, height: view.high, rx: 4 }),
    graticule(view),
    points.map((one) => point(one, view, open)),
    scaleBar(view),
  );
  figure.replaceChildren(
    map,
    h("figcaption", {}, h("span", {}, mark(true), ` ${answerTitle(true)} ${yes}`), h("span", {}, mark(false), ` ${answerTitle(false)} ${placed.length - yes}`)),
  );
}
