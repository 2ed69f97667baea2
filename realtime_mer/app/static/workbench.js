// The workbench of one recording: its video, timeline, events and a coder's review, all in step. Times are in s on the

import { fetched, make, milliseconds, post, Refused, save, typing } from "./ask.js";
import { eventCard } from "./cards.js";
import { Timeline } from "./timeline.js";

const MISSED_S = 0.1; // half the length of an event that a coder adds at the playhead
const BEFORE_S = 0.5; // of the recording around an event in its clip, as the server cuts it
const LONGEST_S = 4; // of a clip
const AROUND_S = 1.0; // of the recording on both sides of the playhead in its slow motion
const KEYS = `
  <dl class="mer-keys"><dt>N, P</dt><dd>next, previous event</dd><dt>K</dt><dd>play, pause</dd><dt>←, →</dt><dd>one frame</dd>
  <dt>A</dt><dd>accept</dd><dt>X</dt><dd>reject</dd><dt>1 to 9, 0</dt><dd>label, no label</dd><dt>I, M, O</dt><dd>onset, apex, offset are here</dd>
  <dt>V</dt><dd>add a missed event here</dd><dt>C</dt><dd>comment</dd><dt>Z</dt><dd>undo</dd></dl>`;

const BODY = `
<header class="mer-work-head"><h2 class="mer-name" tabindex="-1"></h2>
  <div class="mer-row mer-take"><label>Export <select class="mer-format" aria-label="format of the export"></select></label>
  <label><input type="checkbox" class="mer-corrected"> corrected</label>
  <button type="button" class="mer-export mer-quiet">Export</button></div></header>
<div class="mer-summary"></div><p class="mer-can"></p><div class="mer-warned"></div>
<div class="mer-split">
  <div class="mer-viewing">
    <video class="mer-player" playsinline muted preload="auto" aria-label="the recording"></video>
    <p class="mer-novideo mer-empty" hidden>There is no video of this recording here.</p>
    <div class="mer-row mer-transport">
      <button type="button" class="mer-back mer-quiet" aria-label="one frame back">◂</button>
      <button type="button" class="mer-play mer-quiet">Play</button>
      <button type="button" class="mer-on mer-quiet" aria-label="one frame on">▸</button>
      <output class="mer-now">0.000 s</output>
      <label>Speed <select class="mer-speed"><option value="1">1</option><option value="0.5">1/2</option><option value="0.25">1/4</option></select></label>
      <label><input type="checkbox" class="mer-loop" checked> loop</label>
      <button type="button" class="mer-whole mer-quiet" aria-pressed="false">Whole recording</button>
    </div>
    <div class="mer-row mer-transport mer-slow">
      <label>Slow motion <select class="mer-slower"><option>4</option><option selected>8</option><option>16</option></select></label>
      <label class="mer-field">Magnify the movement <output>× 1</output><input type="range" class="mer-magnify" min="1" max="10" step="1" value="1"></label>
      <button type="button" class="mer-here mer-quiet">Slow motion here</button>
    </div>
    <div class="mer-timeline" role="group" aria-label="timeline: motion, threshold and events"></div>
  </div>
  <div class="mer-coding">
    <form class="mer-coder mer-row"><label>Coder <input type="text" class="mer-who" maxlength="40" placeholder="your name" autocomplete="off" pattern="[A-Za-z0-9][A-Za-z0-9_\\-]*"></label>
      <label title="hide the events of the machine and of other coders"><input type="checkbox" class="mer-blind"> blind</label>
      <button class="mer-begin mer-quiet">Review</button></form>
    <div class="mer-verdict mer-row" hidden>
      <button type="button" class="mer-accept mer-quiet" aria-keyshortcuts="a">Accept</button>
      <button type="button" class="mer-reject mer-quiet" aria-keyshortcuts="x">Reject</button>
      <button type="button" class="mer-missed mer-quiet" aria-keyshortcuts="v">Add missed</button>
      <button type="button" class="mer-undo mer-quiet" aria-keyshortcuts="z">Undo</button>
      <label>Label <input type="text" class="mer-label" list="mer-labels" maxlength="60"><datalist id="mer-labels"></datalist></label>
      <span class="mer-moves"><button type="button" class="mer-onset mer-quiet">Onset here</button>
      <button type="button" class="mer-apex mer-quiet">Apex here</button>
      <button type="button" class="mer-offset mer-quiet">Offset here</button></span>
      <label class="mer-wide">Comment <input type="text" class="mer-comment" maxlength="1000"></label>
      <details><summary>Keys</summary>${KEYS}</details>
    </div>
    <p class="mer-reviewed" role="status"></p>
    <label><input type="checkbox" class="mer-all" checked> Show rejected movements</label>
    <ol class="mer-list" aria-label="events"></ol>
    <div class="mer-detail"></div>
  </div>
</div>
<details class="mer-compare"><summary>Coders and agreement</summary>
  <p>Import codings from other tools to compare them with the review: ELAN (.eaf), BORIS and other tables (.csv, .tsv).</p>
  <div class="mer-row"><label>Import a coding <input type="file" class="mer-import" accept=".eaf,.csv,.tsv"></label>
  <label>A <select class="mer-a"></select></label><label>B <select class="mer-b"></select></label>
  <button type="button" class="mer-match mer-quiet">Compare</button></div>
  <pre class="mer-agreement" tabindex="0" aria-label="agreement" hidden></pre>
</details>
<nav class="mer-links" aria-label="downloads"></nav>`;

export class Workbench {
  constructor(element, root, problem) {
    this.element = element;
    this.root = root;
    this.problem = problem;
    this.id = null;
    this.find = (selector) => element.querySelector(selector);
    document.addEventListener("keydown", (key) => this.key(key));
  }

  async open(id, coder = null) {
    try {
      const found = await fetched(this.root, `/jobs/${id}${coder ? `?coder=${encodeURIComponent(coder)}` : ""}`);
      if (this.id !== id) this.build(id);
      this.result = found;
      this.said = found.review;
      this.fill();
      return true;
    } catch (error) {
      this.problem(error.message);
      return false;
    }
  }

  close() {
    this.id = null;
    this.video?.pause();
    this.timeline?.close();
    this.element.hidden = true;
    this.element.replaceChildren();
  }

  build(id) {
    this.timeline?.close();
    this.id = id;
    this.chosen = null;
    this.window = null; // {start, slow, of}: the part played in slow motion; null for the whole recording
    this.element.hidden = false;
    this.element.innerHTML = BODY;
    this.video = this.find(".mer-player");
    this.timeline = new Timeline(this.find(".mer-timeline"), { onSeek: (time) => this.seek(time), onChoose: (name) => this.choose(name) });
    const on = (selector, act) => (this.find(selector).onclick = act);
    on(".mer-back", () => this.step(-1));
    on(".mer-on", () => this.step(1));
    on(".mer-play", () => this.play());
    on(".mer-whole", () => this.whole());
    on(".mer-here", () => this.around(this.now()));
    on(".mer-export", () => this.export());
    on(".mer-accept", () => this.decide({ verdict: "accepted" }));
    on(".mer-reject", () => this.decide({ verdict: "rejected" }));
    on(".mer-missed", () => this.add());
    on(".mer-undo", () => this.undo());
    on(".mer-onset", () => this.move("onset"));
    on(".mer-apex", () => this.move("apex"));
    on(".mer-offset", () => this.move("offset"));
    on(".mer-match", () => this.compare());
    this.find(".mer-coder").onsubmit = (submitted) => {
      submitted.preventDefault();
      this.begin();
    };
    this.find(".mer-all").onchange = () => this.list();
    this.find(".mer-label").onchange = (change) => this.decide({ label: change.target.value.trim(), verdict: "accepted" });
    this.find(".mer-comment").onchange = (change) => this.decide({ comment: change.target.value });
    this.find(".mer-import").onchange = (change) => this.import(change.target);
    this.find(".mer-slower").onchange = this.find(".mer-magnify").onchange = () => this.replay();
    this.find(".mer-magnify").oninput = ({ target }) => (target.parentElement.querySelector("output").textContent = `× ${target.value}`);
    this.find(".mer-speed").onchange = (change) => (this.video.playbackRate = Number(change.target.value));
    this.video.onplay = this.video.onpause = () => this.follow();
    this.video.onseeked = this.video.ontimeupdate = () => this.tell();
    this.video.onended = () => this.find(".mer-loop").checked && this.window && this.video.play();
    this.video.onerror = () => this.video.getAttribute("src") && this.find(".mer-novideo").removeAttribute("hidden");
  }

  fill() {
    const { result } = this;
    this.find(".mer-name").textContent = result.name;
    this.find(".mer-summary").replaceChildren(...result.figures.map(([value, name]) => make("div", {}, make("b", {}, value), make("span", {}, name))));
    this.find(".mer-can").textContent = result.sensitivity;
    this.find(".mer-warned").replaceChildren(...result.warnings.map((line) => make("p", { class: "mer-bad" }, line)));
    this.find(".mer-format").replaceChildren(...result.formats.map((name) => make("option", {}, name)));
    if (result.formats.includes("elan")) this.find(".mer-format").value = "elan";
    this.find("#mer-labels").replaceChildren(...result.labels.map((label) => make("option", { value: label })));
    const files = `${this.root}/jobs/${this.id}`;
    this.find(".mer-links").replaceChildren(
      ...result.downloads.map(([words, name]) => make("a", { href: `${files}/files/${name}?save`, download: "" }, words)),
      make("a", { href: `${files}/everything.zip`, download: "" }, "everything, .zip"));
    this.find(".mer-novideo").hidden = Boolean(result.player || result.clips);
    for (const name of [".mer-player", ".mer-transport"]) this.find(name).hidden = !result.player && !result.clips;
    this.find(".mer-slow").hidden = !result.clips;
    this.find(".mer-whole").hidden = !result.player;
    this.coders();
    this.timeline.fill(result, this.events());
    this.reviewing();
    this.list();
    const first = this.events().find((event) => event.status === "confirmed") ?? this.events()[0];
    if (this.chosen && this.events().some((event) => event.key === this.chosen)) this.choose(this.chosen);
    else if (first) this.choose(first.key);
    else this.whole();
  }

  // --- events, as logged and as changed by the coder -----------------------------------------------

  events() {
    const said = this.said?.events ?? {};
    const seen = this.result.events.map((event) => this.corrected(event, said[event.key]));
    const added = Object.values(said).filter((step) => step.event.startsWith("new-") && step.verdict !== "rejected").map((step) => this.added(step));
    const all = this.find(".mer-all").checked;
    return [...seen, ...added].filter((event) => all || event.status === "confirmed" || event.verdict).sort((a, b) => a.onset - b.onset);
  }

  corrected(event, step) {
    if (!step) return event;
    const status = { accepted: "confirmed", rejected: "rejected" }[step.verdict] ?? event.status;
    const changed = { ...event, ...Object.fromEntries(["onset", "apex", "offset"].filter((name) => name in step).map((name) => [name, step[name]])) };
    const label = "label" in step ? step.label || "no label" : null;
    const kept = status === "confirmed" && event.status === "rejected" ? `micro-expression (found as ${event.kind})` : event.words;
    return { ...changed, status, verdict: step.verdict, words: label ? `micro: ${label}` : kept, comment: step.comment ?? "", label: label ?? event.label };
  }

  added(step) {
    const words = step.label ? `micro: ${step.label}` : "micro-expression";
    return {
      key: step.event, track: step.face ?? 0, onset: step.onset, apex: step.apex ?? (step.onset + step.offset) / 2, offset: step.offset, status: "confirmed",
      kind: "micro", verdict: step.verdict, words, line: `${words}, added by ${this.said.coder}`, label: step.label ?? null, comment: step.comment ?? "",
      reason: `added by ${this.said.coder}`, coded: "", cues: [], pictures: {}, probabilities: null, fps: null, still: null,
    };
  }

  event() {
    return this.events().find((event) => event.key === this.chosen);
  }

  list() {
    const events = this.events();
    const list = this.find(".mer-list");
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    list.replaceChildren(...events.map((event) => {
      const sign = { accepted: "✓", rejected: "✗", open: "·" }[event.verdict] ?? "";
      const length = event.offset === null ? "" : `, ${milliseconds(event.offset - event.onset)}`;
      const button = make("button", { type: "button", "data-key": event.key, class: `mer-${event.status}`, "aria-current": String(event.key === this.chosen) },
        make("b", { "aria-label": event.verdict ?? "" }, sign), ` ${(event.onset - this.result.start).toFixed(3)} s${length}: ${event.words}`);
      button.onclick = () => this.choose(event.key);
      return make("li", {}, button);
    }));
    if (!events.length) list.append(make("li", { class: "mer-empty" }, this.said?.blind ? "None yet: press V where you see an event." : "No movement was reported."));
    if (focused) list.querySelector(`[data-key="${focused}"]`)?.focus();
    this.timeline.bands(events, this.chosen);
  }

  choose(key, play = true) {
    const before = this.chosen;
    this.chosen = key;
    const event = this.event();
    for (const button of this.find(".mer-list").querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.key === key));
    this.find(`.mer-list [data-key="${key}"]`)?.scrollIntoView({ block: "nearest" });
    if (!event) return this.find(".mer-detail").replaceChildren();
    const picture = event.still && make("img", { class: "mer-still", src: `${this.root}/jobs/${this.id}/files/${event.still}`, alt: "the face at onset, apex and offset, and its motion" });
    const card = eventCard(event, this.result.start, picture || null);
    const times = ["onset", "apex", "offset"].map((name) => `${name} ${event[name] === null ? "not seen" : `${(event[name] - this.result.start).toFixed(3)} s`}`).join(", ");
    card.append(make("small", { class: "mer-times" }, times));
    this.find(".mer-detail").replaceChildren(card);
    this.find(".mer-label").value = event.label ?? "";
    this.find(".mer-comment").value = event.comment ?? "";
    this.timeline.bands(this.events(), key);
    if (before !== key || !this.window) this.show(event, play);
  }

  next(way) {
    const events = this.events();
    const at = events.findIndex((event) => event.key === this.chosen);
    const event = events[Math.min(Math.max(at + way, 0), events.length - 1)];
    if (event) this.choose(event.key);
  }

  // --- the video ---------------------------------------------------------------------------------------------------

  show(event, play = true) {
    if (!this.result.clips) return this.seek(event.apex);
    const logged = this.result.events.find((each) => each.key === event.key); // the clip uses the machine's times
    const start = (logged ?? event).onset - BEFORE_S;
    const end = Math.min(event.offset + BEFORE_S, start + LONGEST_S);
    this.slowly(logged ? { start, event: event.key } : { start, end }, play);
  }

  around(time) {
    if (this.result.clips) this.slowly({ start: time - AROUND_S, end: time + AROUND_S }, false, time);
  }

  slowly(of, play, at = null) {
    const slow = Number(this.find(".mer-slower").value);
    const asked = new URLSearchParams({ slow, magnify: this.find(".mer-magnify").value });
    if (of.event) asked.set("event", of.event);
    else for (const name of ["start", "end"]) asked.set(name, of[name].toFixed(6));
    this.window = { of, slow, start: of.start };
    this.load(`${this.root}/jobs/${this.id}/clip?${asked}`, at ?? of.start, play);
  }

  replay() {
    if (this.window) this.slowly(this.window.of, !this.video.paused, this.now());
  }

  whole(at = this.now()) {
    if (!this.result.player) return;
    this.window = null;
    this.load(`${this.root}/jobs/${this.id}/files/${this.result.player}`, at, false);
  }

  load(url, at, play) {
    this.find(".mer-whole").setAttribute("aria-pressed", String(!this.window));
    this.find(".mer-novideo").hidden = true;
    this.video.src = url;
    this.video.onloadedmetadata = () => {
      this.video.playbackRate = Number(this.find(".mer-speed").value);
      this.video.currentTime = this.media(at);
      if (play && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.video.play().catch(() => {});
      this.tell();
    };
  }

  media(time) {
    return Math.max(0, this.window ? (time - this.window.start) * this.window.slow : time - this.result.zero);
  }

  // Where the playhead is, s on the recording's own clock.
  now() {
    if (!this.video?.getAttribute("src")) return this.result.start;
    return this.window ? this.window.start + this.video.currentTime / this.window.slow : this.video.currentTime + this.result.zero;
  }

  seek(time) {
    const end = this.window && this.window.start + (this.video.duration || 0) / this.window.slow;
    if (this.window && (time < this.window.start || time > end)) return this.result.player ? this.whole(time) : this.around(time);
    if (!this.video.getAttribute("src")) return this.result.player ? this.whole(time) : this.around(time);
    this.video.currentTime = this.media(time) + 1e-4; // inside the frame, not on its border
    this.tell();
  }

  step(way) {
    this.video.pause();
    this.seek(this.now() + way * this.result.step);
  }

  play() {
    if (this.video.paused) this.video.play().catch(() => {});
    else this.video.pause();
  }

  follow() {
    if (!this.id) return;
    this.find(".mer-play").textContent = this.video.paused ? "Play" : "Pause";
    this.tell();
    if (!this.video.paused) requestAnimationFrame(() => this.follow());
  }

  tell() {
    if (!this.id) return;
    const now = this.now();
    this.find(".mer-now").textContent = `${(now - this.result.start).toFixed(3)} s`;
    this.timeline.playhead(now);
  }

  // --- a coder's review --------------------------------------------------------------------------------------------

  coders() {
    const { reviews, codings } = this.result;
    const names = ["machine", ...reviews.map((review) => review.coder), ...codings];
    const shown = this.said?.blind ? [] : names;
    for (const [selector, at] of [[".mer-a", 0], [".mer-b", 1]]) {
      const select = this.find(selector);
      const before = select.value;
      select.replaceChildren(...shown.map((name) => make("option", {}, name)));
      select.value = shown.includes(before) ? before : (shown[at] ?? shown[0] ?? "");
    }
    this.find(".mer-match").disabled = shown.length < 2;
  }

  async begin() {
    const coder = this.find(".mer-who").value.trim();
    if (!coder) return this.find(".mer-who").focus();
    const blind = this.find(".mer-blind").checked;
    await this.asking(async () => {
      await fetched(this.root, `/jobs/${this.id}/reviews/${encodeURIComponent(coder)}${blind ? "?blind=yes" : ""}`);
      await this.open(this.id, coder);
      this.find(".mer-name").focus({ preventScroll: true }); // so that keys go to the workbench, not into the name
    });
  }

  reviewing() {
    const { said } = this;
    this.find(".mer-verdict").hidden = !said;
    this.find(".mer-corrected").checked = Boolean(said);
    this.find(".mer-corrected").disabled = !said;
    if (!said) return;
    this.find(".mer-who").value = said.coder;
    this.find(".mer-blind").checked = said.blind;
    const touched = Object.keys(said.events).length;
    this.find(".mer-reviewed").textContent = `${said.coder}${said.blind ? ", blind" : ""}: ${touched} of ${this.result.events.length} events reviewed`;
    this.find(".mer-undo").disabled = !said.steps;
  }

  async decide(values, key = this.chosen) {
    if (!this.said || !key) return;
    const event = this.event();
    const times = key.startsWith("new-") || key === "new" ? {} : this.whole_times(event, values);
    const before = this.chosen;
    await this.asking(async () => {
      const answer = await post(this.root, `/jobs/${this.id}/reviews/${this.said.coder}`, { event: key, ...times, ...values });
      this.said = answer;
      if (this.chosen === before) this.chosen = answer.event; // otherwise the coder has moved on while it was saved
      this.after();
    });
  }

  // A time moved past another one takes that along: onset, apex and offset stay in order.
  whole_times(event, values) {
    const moved = ["onset", "apex", "offset"].some((name) => name in values);
    return moved ? { onset: event.onset, apex: event.apex, offset: event.offset ?? event.apex } : {};
  }

  move(name) {
    const event = this.event();
    if (!event) return;
    const now = this.now();
    const times = { onset: event.onset, apex: event.apex, offset: event.offset ?? event.apex, [name]: now };
    if (name === "onset") [times.apex, times.offset] = [Math.max(times.apex, now), Math.max(times.offset, now + this.result.step)];
    if (name === "offset") [times.apex, times.onset] = [Math.min(times.apex, now), Math.min(times.onset, now - this.result.step)];
    if (name === "apex") [times.onset, times.offset] = [Math.min(times.onset, now), Math.max(times.offset, now)];
    this.decide({ ...times, verdict: "accepted" });
  }

  add() {
    const now = this.now();
    const face = this.event()?.track ?? 1;
    this.decide({ verdict: "accepted", onset: now - MISSED_S, apex: now, offset: now + MISSED_S, face }, "new");
  }

  async undo() {
    if (!this.said) return;
    await this.asking(async () => {
      this.said = await post(this.root, `/jobs/${this.id}/reviews/${this.said.coder}/undo`);
      this.after();
    });
  }

  after() {
    this.reviewing();
    this.list();
    const event = this.event() ?? this.events()[0];
    if (event) this.choose(event.key, false);
  }

  // One at a time, so that an older answer never replaces a newer one.
  async asking(act) {
    const turn = (this.turn ?? Promise.resolve()).then(act);
    this.turn = turn.catch(() => {});
    try {
      await turn;
      this.find(".mer-reviewed").classList.remove("mer-bad");
    } catch (error) {
      const words = error instanceof Refused ? error.message : `not saved: the server cannot be reached (${error.message})`;
      this.find(".mer-reviewed").textContent = words;
      this.find(".mer-reviewed").classList.add("mer-bad");
    }
  }

  export() {
    const format = this.find(".mer-format").value;
    const coder = this.said && this.find(".mer-corrected").checked ? `?coder=${this.said.coder}` : "";
    save(`${this.root}/jobs/${this.id}/export/${format}${coder}`);
  }

  async import(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const dot = file.name.lastIndexOf(".");
    const name = file.name.slice(0, dot).replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, 40) + file.name.slice(dot).toLowerCase();
    await this.asking(async () => {
      const made = await fetched(this.root, `/jobs/${this.id}/codings/${name}`, { method: "PUT", body: file });
      if (!this.result.codings.includes(made.name)) this.result.codings.push(made.name);
      this.coders();
      this.find(".mer-b").value = made.name;
      this.find(".mer-reviewed").textContent = `${file.name}: ${made.events} events`;
    });
  }

  async compare() {
    const asked = new URLSearchParams({ a: this.find(".mer-a").value, b: this.find(".mer-b").value });
    await this.asking(async () => {
      const found = await fetched(this.root, `/jobs/${this.id}/agreement?${asked}`);
      const place = this.find(".mer-agreement");
      place.hidden = false;
      place.textContent = found.text;
    });
  }

  // --- keys --------------------------------------------------------------------------------------------------------

  key(key) {
    if (!this.id || !this.element.offsetParent || typing(key) || key.target.closest("[role=tab]")) return;
    const acts = {
      n: () => this.next(1), p: () => this.next(-1), k: () => this.play(), ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
      a: () => this.decide({ verdict: "accepted" }), x: () => this.decide({ verdict: "rejected" }), z: () => this.undo(), v: () => this.said && this.add(),
      i: () => this.said && this.move("onset"), m: () => this.said && this.move("apex"), o: () => this.said && this.move("offset"),
      c: () => this.said && this.find(".mer-comment").focus(),
    };
    const digit = /^[0-9]$/.test(key.key) ? Number(key.key) : null;
    if (digit !== null && this.said && digit <= this.result.labels.length) {
      this.decide({ label: digit ? this.result.labels[digit - 1] : "", verdict: "accepted" });
    } else if (acts[key.key.length === 1 ? key.key.toLowerCase() : key.key]) acts[key.key.length === 1 ? key.key.toLowerCase() : key.key]();
    else return;
    key.preventDefault();
  }
}
