// The list of events: a card each, newest first. All text from the server is set as text, never as HTML.

import { eventColour, eventWords } from "./draw.js";

const MOST = 100; // cards kept: a page left open for hours must not grow

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const milliseconds = (seconds) => `${Math.round(1000 * seconds)} ms`;
const ARROWS = "→↘↓↙←↖↑↗";
const arrow = (dx, dy) => ARROWS[((Math.round(Math.atan2(dy, dx) / (Math.PI / 4)) % 8) + 8) % 8];

export class Cards {
  constructor(list) {
    this.list = list;
    this.events = new Map(); // key -> event, oldest first
    this.started = 0;
  }

  clear(started) {
    this.started = started;
    this.events.clear();
    this.list.replaceChildren();
  }

  take(event) {
    this.events.delete(event.key);
    this.events.set(event.key, event);
    this.list.querySelector(`[data-key="${event.key}"]`)?.remove();
    this.list.prepend(this.card(event));
    if (this.events.size > MOST) {
      const oldest = this.events.keys().next().value;
      this.events.delete(oldest);
      this.list.querySelector(`[data-key="${oldest}"]`)?.remove();
    }
  }

  count(status) {
    return [...this.events.values()].filter((event) => event.status === status).length;
  }

  card(event) {
    const title = make("h4", {}, eventWords(event));
    const when = `face ${event.face} · ${(event.onset - this.started).toFixed(2)} s`;
    const how = event.offset === null ? "still moving" : milliseconds(event.offset - event.onset);
    const card = make("article", { class: `mer-card mer-${event.status}`, "data-key": event.key, "data-kind": event.kind, tabindex: "0" },
      make("header", {}, title, make("span", { class: "mer-when" }, `${when} · ${how}`)));
    card.style.setProperty("--mark", eventColour(event));
    if (event.reason) card.append(make("p", { class: "mer-reason" }, event.reason));
    if (event.coded && event.status !== "rejected") card.append(make("p", { class: "mer-coded" }, event.coded));
    card.append(this.pictures(event), this.bars(event), this.cues(event));
    if (event.status === "confirmed") {
      const facts = `${event.fps} frames/s, largest gap ${milliseconds(event.gap)}` + (event.lost ? `, ${event.lost} frames lost` : "");
      card.append(make("small", {}, `${facts}, reported ${milliseconds(event.reported - event.apex)} after the apex`));
    }
    return card;
  }

  pictures(event) {
    const strip = make("div", { class: "mer-strip" });
    for (const name of ["onset", "apex", "offset", "motion"]) {
      const source = event.pictures[name];
      if (!source) continue;
      const words = name === "motion" ? "motion at the apex" : `${name} ${(event[name] - this.started).toFixed(2)} s`;
      strip.append(make("figure", {}, make("img", { src: source, alt: `the face: ${words}` }), make("figcaption", {}, words)));
    }
    return strip;
  }

  bars(event) {
    const bars = make("div", { class: "mer-bars" });
    const ranked = Object.entries(event.probabilities ?? {}).sort((a, b) => b[1] - a[1]);
    if (event.status === "rejected") return bars;
    for (const [label, share] of ranked) {
      const words = `${Math.round(100 * share)} %`;
      bars.append(make("span", {}, label), make("meter", { min: 0, max: 1, value: share, "aria-label": `${label} ${words}` }), make("b", {}, words));
    }
    return bars;
  }

  cues(event) {
    const words = event.cues.map((cue) => {
      const units = cue.action_units.length ? ` (${cue.action_units.join("/")})` : "";
      return make("li", {}, `${cue.region} ${arrow(cue.dx, cue.dy)}${units}`);
    });
    return event.status === "rejected" ? make("span") : make("ul", { class: "mer-cues" }, ...words);
  }
}
