// Where a picture was taken: typed in, from the browser, or from the photo's own EXIF.

import { $, placeWords } from "./dom.js";

const REACH = 256 * 1024; // the EXIF block is at the very front of a JPEG

/** GPS position in a JPEG's EXIF (CIPA DC-008, section 4.6.6), or null. */
export async function exifPlace(file) {
  try {
    const view = new DataView(await file.slice(0, REACH).arrayBuffer());
    const at = exifStart(view);
    return at === null ? null : gps(view, at);
  } catch {
    return null; // a block that points outside itself: no position
  }
}

function exifStart(view) {
  if (view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 10 < view.byteLength; ) {
    const marker = view.getUint16(at);
    if (marker < 0xff00 || marker === 0xffda) return null;
    if (marker === 0xffe1 && view.getUint32(at + 4) === 0x45786966) return at + 10;
    at += 2 + view.getUint16(at + 2);
  }
  return null;
}

function gps(view, tiff) {
  const order = view.getUint16(tiff);
  if (order !== 0x4949 && order !== 0x4d4d) return null;
  const little = order === 0x4949;
  const u16 = (at) => view.getUint16(tiff + at, little);
  const u32 = (at) => view.getUint32(tiff + at, little);
  const entries = (at) => new Map(Array.from({ length: Math.min(u16(at), 512) }, (_, i) => [u16(at + 2 + 12 * i), at + 10 + 12 * i]));
  const pointer = entries(u32(4)).get(0x8825);
  if (pointer === undefined) return null;
  const tags = entries(u32(pointer));
  const degrees = (tag, sideTag, minus) => {
    const at = u32(tags.get(tag));
    const [d, m, sec] = [0, 8, 16].map((step) => u32(at + step) / (u32(at + step + 4) || 1));
    const side = String.fromCharCode(view.getUint8(tiff + tags.get(sideTag)));
    return (d + m / 60 + sec / 3600) * (side === minus ? -1 : 1);
  };
  if (![1, 2, 3, 4].every((tag) => tags.has(tag))) return null;
  const place = { lat: degrees(2, 1, "S"), lon: degrees(4, 3, "W") };
  return valid(place) && (place.lat || place.lon) ? place : null;
}

const valid = ({ lat, lon }) => Number.isFinite(lat) && Number.isFinite(lon) && Math.abs(lat) <= 90 && Math.abs(lon) <= 180;

let fromPhoto = false;

function note(text, wrong = false) {
  $("place-note").textContent = text;
  $("place-note").classList.toggle("wrong", wrong);
}

function summary(place) {
  $("place-sum").textContent = place ? placeWords(place) : "optional";
  $("nowhere").hidden = !$("lat").value && !$("lon").value;
}

const number = (text) => (text.trim() === "" ? NaN : Number(text.trim().replace(",", ".")));

/** The place in the fields: null when they are empty, undefined (and said so, with focus) when they make no sense. */
export function readPlace() {
  const [lat, lon] = [$("lat"), $("lon")];
  for (const field of [lat, lon]) field.removeAttribute("aria-invalid");
  summary(null);
  if (!lat.value.trim() && !lon.value.trim()) return null;
  const place = { lat: number(lat.value), lon: number(lon.value) };
  if (valid(place)) {
    summary(place);
    return place;
  }
  const wrong = Number.isFinite(place.lat) && Math.abs(place.lat) <= 90 ? lon : lat;
  wrong.setAttribute("aria-invalid", "true");
  note("Write the latitude in degrees from -90 to 90 and the longitude from -180 to 180, as 48.137 and 11.575; or leave both empty.", true);
  $("place-box").open = true;
  wrong.focus();
  return undefined;
}

/** Put a place into the fields, and say where it comes from. */
export function writePlace(place, text) {
  $("lat").value = place ? String(Number(place.lat.toFixed(6))) : "";
  $("lon").value = place ? String(Number(place.lon.toFixed(6))) : "";
  for (const field of [$("lat"), $("lon")]) field.removeAttribute("aria-invalid");
  summary(place);
  note(text);
}

/** Take over what the photo says of its place; and let go of what an earlier photo said. */
export function foundPlace(place) {
  if (place) writePlace(place, "Read from the photo itself.");
  else if (fromPhoto) writePlace(null, "This photo does not carry its own position.");
  fromPhoto = Boolean(place);
}

/** Wire the fields up; `again` is called when the picture in the page is to be asked about with the new place. */
export function startPlace(again) {
  $("place").addEventListener("submit", (event) => {
    event.preventDefault();
    if (readPlace() !== undefined && !$("again").hidden) again();
  });
  $("nowhere").addEventListener("click", () => {
    writePlace(null, "No place goes along with the picture.");
    $("lat").focus();
  });
  const [lat, lon] = [$("lat"), $("lon")];
  for (const field of [lat, lon]) {
    field.addEventListener("input", () => {
      fromPhoto = false;
      $("nowhere").hidden = !lat.value && !lon.value;
    });
  }
  $("here").addEventListener("click", () => {
    if (!navigator.geolocation) return note("This browser does not tell positions.", true);
    note("Asking the browser for the position.");
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => {
        fromPhoto = false;
        writePlace({ lat: coords.latitude, lon: coords.longitude }, `From this device, to within ${Math.round(coords.accuracy)} m.`);
      },
      (error) => note(error.code === 1 ? "The browser was not allowed to tell the position. Type it in instead." : "The position could not be found. Type it in instead.", true),
      { timeout: 15000, maximumAge: 60000 },
    );
  });
}
