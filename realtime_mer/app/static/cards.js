// An event as a card, for the live list and for the workbench. All text from the server is set as text, never as HTML.

import { make, milliseconds } from "./ask.js";
import { eventColor } from "./draw.js";

const MOST = 100; // cards shown of each status, so that a page left open for hours does not grow
const ARROWS = "→↘↓↙←↖↑↗";
const arrow = (dx, dy) => ARROWS[((Math.round(Math.atan2(dy, dx) / (Math.PI / 4)) % 8) + 8) % 8];

// zero: time origin of the page. pictures: elements to show in place of the event's own.
export function eventCard(event, zero, pictures = null) {
  const when = `face ${event.track} · ${(event.onset - zero).toFixed(2)} s`;
  const how = event.offset === null ? "still moving" : milliseconds(event.offset - event.onset);
  const card = make("article", {
    class: `mer-card mer-${event.status}`, "data-key": event.key, "data-kind": event.kind, tabindex: "0",
    "aria-label": `${event.line}, ${when}, ${how}`,
  }, make("header", {}, make("h3", {}, event.words), make("span", { class: "mer-when" }, `${when} · ${how}`)));
  card.style.setProperty("--mark", eventColor(event));
  if (event.reason) card.append(make("p", { class: "mer-reason" }, event.reason));
  if (event.coded && event.status !== "rejected") card.append(make("p", { class: "mer-coded" }, event.coded));
  card.append(pictures ?? strip(event, zero), bars(event), cues(event));
  if (event.status === "confirmed" && event.fps !== null) {
    const facts = `${event.fps.toFixed(1)} frames/s, largest gap ${milliseconds(event.gap)}` + (event.lost ? `, ${event.lost} frames lost` : "");
    card.append(make("small", {}, `${facts}, reported ${milliseconds(event.reported - event.apex)} after the apex`));
  }
  return card;
}

function strip(event, zero) {
  const figures = ["onset", "apex", "offset", "motion"].filter((name) => event.pictures[name]).map((name) => {
    const words = name === "motion" ? "motion at the apex" : `${name} ${(event[name] - zero).toFixed(2)} s`;
    return make("figure", {}, make("img", { src: event.pictures[name], alt: `the face: ${words}` }), make("figcaption", {}, words));
  });
  return make("div", { class: "mer-strip" }, ...figures);
}

function bars(event) {
  const found = make("div", { class: "mer-bars" });
  if (event.status === "rejected") return found;
  for (const [label, share] of Object.entries(event.probabilities ?? {}).sort((a, b) => b[1] - a[1])) {
    const words = `${Math.round(100 * share)} %`;
    found.append(make("span", {}, label), make("meter", { min: 0, max: 1, value: share, "aria-label": `${label} ${words}` }), make("b", {}, words));
  }
  return found;
}

function cues(event) {
  const words = event.cues.map((cue) => {
    const units = cue.action_units.length ? ` (${cue.action_units.join("/")})` : "";
    return make("li", {}, `${cue.region} ${arrow(cue.dx, cue.dy)}${units}`);
  });
  return event.status === "rejected" || !words.length ? make("span") : make("ul", { class: "mer-cues" }, ...words);
}

// The live list: newest first. Every event is counted; cards and pictures are kept of the latest of each status.
export class Cards {
  constructor(list) {
    this.list = list;
    this.events = new Map(); // key -> event, oldest first
    this.started = 0;
  }

  clear(started) {
    this.started = started;
    this.events.clear();
    this.list.querySelectorAll(".mer-card").forEach((card) => card.remove());
  }

  take(event) {
    const known = this.events.get(event.key);
    if (known && known.status !== "provisional") return false; // sent again after a reconnection
    this.events.delete(event.key);
    this.events.set(event.key, event);
    const old = this.list.querySelector(`[data-key="${event.key}"]`);
    const card = eventCard(event, this.started);
    if (old) {
      const focused = old.contains(document.activeElement);
      old.replaceWith(card);
      if (focused) card.focus({ preventScroll: true });
    } else this.list.prepend(card);
    const same = this.list.querySelectorAll(`.mer-card.mer-${event.status}`);
    if (same.length > MOST) {
      const last = same[same.length - 1];
      const gone = this.events.get(last.dataset.key);
      if (gone) gone.pictures = {};
      last.remove();
    }
    return true;
  }

  count(status) {
    let found = 0;
    for (const event of this.events.values()) found += event.status === status;
    return found;
  }
}
