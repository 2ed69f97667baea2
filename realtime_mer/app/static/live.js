// The live page: <mer-live data-settings="{...}">. Starts a run on the server over a WebSocket and draws what it reports.
// The run survives a broken connection and a reload of the page; its events are never discarded without asking.

import { Camera } from "./camera.js";
import { Cards } from "./cards.js";
import { Curve, overlay } from "./draw.js";
import { ask, fetched, make, save, typing } from "./ask.js";
import { Pace } from "./pace.js";

const BACKLOG = 2 ** 21; // bytes waiting to be sent; above it, frames are dropped here and counted
const LABEL_S = 1.5; // s that an event's name stays beside the face
const AWAY_S = 30; // s that the server keeps a run whose page has gone
const LATE_MS = 150; // a longer delay is not real time
const SILENT_MS = 2000; // after this long without an answer the page says so
const TAKEN_OVER = 4000; // close code of the server when another window has resumed the run
const PRESENT_MS = 60000; // interval at which a page without a run contacts the server
const DEAD_MS = 6000; // frames sent this long ago without an answer mean a dead connection
const TITLE = "realtime-mer"; // of the window
const CALIBRATE_S = 30;
const KEYS = { " ": "space", e: "e", E: "e" }; // keys that set a marker
const RUN = "mer-run"; // in the tab's own storage: the run that a reload resumes
const REFUSED = {
  NotAllowedError: "the browser was not allowed to use the camera",
  NotFoundError: "this computer has no camera that the browser can see",
  NotReadableError: "the camera is used by another program",
};

const BODY = `
<dialog class="mer-consent" aria-labelledby="mer-consent-title">
  <h2 id="mer-consent-title">Before the camera starts</h2>
  <p>This page looks for short movements of the face and names the class of emotion that they fit. The answer is a guess
  about a movement: no proof of a feeling, and none of a lie or of stress.</p>
  <ul>
    <li>Frames are analyzed on <b class="mer-where"></b> and discarded. Nothing is stored unless you record or save it.</li>
    <li class="mer-targets" hidden></li>
    <li>Everyone in view must be told and agree (EU AI Act, Art. 50(3)).</li>
    <li>Not at work and not in education: inferring emotions there is banned in the EU (Art. 5(1)(f)).</li>
  </ul>
  <form method="dialog">
    <label><input type="checkbox" class="mer-agree"> Everyone in view has been told and agrees</label>
    <menu><button value="no" class="mer-quiet">Cancel</button><button value="yes" class="mer-primary" disabled>Start the camera</button></menu>
  </form>
</dialog>
<div class="mer-grid">
  <section class="mer-main" aria-label="Picture and motion curve">
    <div class="mer-stage" tabindex="-1">
      <video muted playsinline></video><canvas class="mer-preview"></canvas><canvas class="mer-overlay"></canvas>
      <p class="mer-hint">Choose a source and press Start.</p>
    </div>
    <div class="mer-banner" role="status" hidden></div>
    <canvas class="mer-curve" role="img" aria-label="Motion of each face over the last seconds with its threshold"></canvas>
    <dl class="mer-facts">
      <div><dt>frame rate</dt><dd data-fact="fps">–</dd></div>
      <div><dt>lost frames</dt><dd data-fact="lost">–</dd></div>
      <div><dt>delay, median / 95 %</dt><dd data-fact="delay">–</dd></div>
      <div><dt>faces</dt><dd data-fact="faces">–</dd></div>
      <div class="mer-wide"><dt>smallest movement seen with 80 % probability</dt><dd data-fact="smallest">–</dd></div>
      <div class="mer-wide"><dt>model on device</dt><dd data-fact="model">–</dd></div>
    </dl>
  </section>
  <section class="mer-controls" aria-label="Controls">
    <fieldset class="mer-sources"><legend>Source</legend>
      <label><input type="radio" name="mer-source" value="browser" checked> This browser's camera</label>
      <label><input type="radio" name="mer-source" value="server"> Camera of the server, or a stream</label>
      <input class="mer-address" type="text" placeholder="0 or rtsp://… or http://…" aria-label="camera number or stream address" disabled>
    </fieldset>
    <div class="mer-row">
      <button class="mer-start mer-primary" type="button">Start</button>
      <button class="mer-stop mer-quiet" type="button" disabled>Stop</button>
      <button class="mer-rest mer-quiet" type="button" disabled title="Learn the resting face again: look at the camera and relax for a second">Recalibrate</button>
      <button class="mer-calibrate mer-quiet" type="button" disabled title="Watch the resting face for 30 s and choose a sensitivity that suits it">Calibrate me for 30 s</button>
    </div>
    <label class="mer-field">Sensitivity <output></output>
      <input class="mer-enter" type="range" min="3" max="20" step="0.5"></label>
    <label class="mer-field">Model <select class="mer-model"></select></label>
    <label><input type="checkbox" class="mer-private"> Privacy mode: blur the video, keep only events</label>
    <fieldset class="mer-keeping"><legend>Keep</legend>
      <div class="mer-row">
        <button class="mer-record mer-quiet" type="button" disabled aria-pressed="false">Record</button>
        <button class="mer-save mer-quiet" type="button" disabled>Save events</button>
      </div>
      <label><input type="checkbox" class="mer-video" checked> Record the video, too</label>
      <label class="mer-field">Note <input class="mer-note" type="text" maxlength="200" placeholder="Enter sets a marker; so do Space and E" disabled></label>
      <p class="mer-marks" aria-live="polite"></p>
    </fieldset>
  </section>
  <section class="mer-events" aria-label="Events">
    <div class="mer-events-head"><h2>Events</h2><span class="mer-count"></span></div>
    <p class="mer-said mer-unseen" aria-live="polite"></p>
    <label><input type="checkbox" class="mer-rejected"> Show rejected movements</label>
    <div class="mer-cards" data-rejected="no" tabindex="0" aria-label="List of events"><p class="mer-empty">None yet.</p></div>
  </section>
</div>`;

class MerLive extends HTMLElement {
  connectedCallback() {
    if (this.ready) return;
    this.ready = true;
    this.settings = JSON.parse(this.dataset.settings);
    this.innerHTML = BODY;
    this.find = (selector) => this.querySelector(selector);
    this.cards = new Cards(this.find(".mer-cards"));
    this.curve = new Curve();
    this.pace = new Pace();
    this.agreed = false;
    this.unsaved = 0; // events that are neither saved nor recorded
    this.run = null; // {id, epoch, browser}: of the server's run that this page shows
    this.lamp = make("div", { class: "mer-lamp", role: "status", hidden: "" });
    document.body.append(this.lamp);
    this.controls();
    this.facts = Object.fromEntries([...this.querySelectorAll("[data-fact]")].map((e) => [e.dataset.fact, e]));
    this.listeners = [
      [window, "beforeunload", (leave) => (this.socket || this.unsaved) && leave.preventDefault()],
      [window, "pagehide", () => this.camera?.close()],
      [document, "visibilitychange", () => this.seen()],
      [document, "keydown", (key) => this.key(key)],
    ];
    for (const [target, name, listener] of this.listeners) target.addEventListener(name, listener);
    this.clock = setInterval(() => this.tick(), 500);
    requestAnimationFrame(() => this.draw());
    this.takeUp();
  }

  disconnectedCallback() {
    for (const [target, name, listener] of this.listeners) target.removeEventListener(name, listener);
    clearInterval(this.clock);
    this.lamp.remove();
    this.end();
    this.ready = false;
  }

  controls() {
    const { settings } = this;
    const enter = this.find(".mer-enter");
    this.tellEnter = () => (this.find(".mer-field output").textContent = `threshold: ${enter.value} × the resting noise`);
    enter.value = settings.enter;
    this.tellEnter();
    enter.oninput = this.tellEnter;
    enter.onchange = () => this.recalibrate();
    for (const name of settings.models) this.find(".mer-model").append(make("option", name === settings.model ? { selected: "" } : {}, name));
    for (const radio of this.querySelectorAll("[name=mer-source]")) {
      radio.onchange = () => (this.find(".mer-address").disabled = this.source() !== "server");
    }
    if (!settings.capture) {
      const radio = this.find("[value=server]");
      radio.disabled = true;
      radio.parentElement.title = "only for viewers at the server itself, unless it was started with --server-cameras";
    }
    this.find(".mer-where").textContent = settings.local ? "this computer" : `the server ${location.host}`;
    this.find(".mer-start").onclick = () => this.begin();
    this.find(".mer-address").onkeydown = (key) => key.key === "Enter" && this.begin();
    this.find(".mer-stop").onclick = () => this.stop();
    this.find(".mer-rest").onclick = () => this.recalibrate();
    this.find(".mer-calibrate").onclick = () => this.order({ type: "calibrate", seconds: CALIBRATE_S });
    this.find(".mer-record").onclick = () => this.record();
    this.find(".mer-save").onclick = () => this.save();
    this.find(".mer-note").onkeydown = (key) => {
      if (key.key !== "Enter" || !key.target.value.trim()) return;
      this.mark("", key.target.value.trim());
      key.target.value = "";
    };
    this.find(".mer-private").onchange = (change) => this.classList.toggle("mer-blurred", change.target.checked);
    this.find(".mer-rejected").onchange = (change) => (this.find(".mer-cards").dataset.rejected = change.target.checked ? "yes" : "no");
    const dialog = this.find("dialog");
    this.find(".mer-agree").onchange = (change) => (dialog.querySelector("[value=yes]").disabled = !change.target.checked);
    dialog.onclose = () => {
      this.agreed = dialog.returnValue === "yes" && this.find(".mer-agree").checked;
      if (this.agreed) this.begin();
    };
  }

  source() {
    return this.find("[name=mer-source]:checked").value;
  }

  // --- a run begins, is interrupted, resumes, ends -------------------------------------------------------------------

  async begin() {
    if (this.socket || this.starting) return;
    this.starting = true;
    try {
      const { missing, targets } = await fetched(this.settings.root, "/live/runs");
      if (missing) return this.say(missing, true); // before anyone is asked for consent
      this.find(".mer-targets").hidden = !targets.length;
      this.find(".mer-targets").textContent = `The events are also sent to ${targets.join(", ")}.`;
      if (!(await this.mayForget("Start again"))) return;
    } catch (error) {
      return this.say(`the server cannot be reached: ${error.message}`, true);
    } finally {
      this.starting = false;
    }
    if (!this.agreed) {
      this.find("dialog").returnValue = "";
      return this.find("dialog").showModal();
    }
    this.say("");
    this.running(true);
    this.fresh();
    this.run = { id: null, epoch: Date.now() / 1000, browser: this.source() === "browser" };
    try {
      if (this.run.browser) await this.openCamera();
      this.connect({
        type: "start", consent: true, source: this.source(), address: this.find(".mer-address").value, epoch: this.run.epoch,
        private: this.find(".mer-private").checked, enter: Number(this.find(".mer-enter").value), model: this.find(".mer-model").value,
      });
    } catch (error) {
      this.end();
      this.say(REFUSED[error.name] ?? error.message ?? String(error), true);
    }
  }

  fresh() {
    this.dropped = 0;
    this.size = this.state = null;
    this.labels = new Map();
    this.curve = new Curve();
    this.pace = new Pace();
    this.cards.clear(0);
    this.unsaved = 0;
    this.find(".mer-marks").textContent = "";
    this.tally();
  }

  // Whether the events shown may be discarded: they are saved, or the user says so.
  async mayForget(words) {
    if (!this.unsaved) return true;
    const answer = await ask("Events are not saved", `${this.unsaved} events of the last run are not saved.`, [
      ["", "Cancel"], ["forget", `${words} without saving`], ["save", `Save, then ${words.toLowerCase()}`]]);
    if (answer === "save") await this.save();
    return Boolean(answer);
  }

  async openCamera() {
    const video = this.find("video");
    this.camera = new Camera(video, this.run.epoch, {
      onPacket: (packet, time) => this.send(packet, time),
      onDropped: () => (this.dropped += 1),
      onError: (text) => this.say(`a frame could not be encoded: ${text}`, true),
      onState: (word) => this.cameraSays(word),
    });
    await this.camera.open();
    this.size = [video.videoWidth, video.videoHeight];
  }

  cameraSays(word) {
    if (word === "ended") {
      this.mark("", "the camera ended");
      this.say("the camera ended: it was unplugged, or taken by another program or the browser. The events are kept.", true);
      this.reported = true;
      this.stop();
    } else if (word === "muted") {
      this.trouble = "the camera sends no frames: it is muted by its own switch or by the browser";
      this.mark("", "the camera was muted");
    } else this.trouble = "";
  }

  connect(first) {
    const { root } = this.settings;
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${root}/live`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify(first));
      if (this.camera && !this.capturing) {
        this.camera.start();
        this.capturing = true;
      }
    };
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket) return;
      if (data instanceof ArrayBuffer) this.show(data);
      else this.hear(JSON.parse(data));
    };
    socket.onclose = ({ code }) => {
      if (this.socket !== socket) return;
      if (code === TAKEN_OVER) {
        this.say("this run is now shown in another window");
        this.unsaved = 0;
        this.reported = true;
      }
      if (this.stopping || this.reported || !this.run?.id) {
        if (!this.stopping && !this.reported) this.say("the server cannot be reached", true);
        this.end();
      } else this.broken();
    };
  }

  // Replaces a connection that is open but dead.
  lost() {
    this.socket.onclose = null;
    this.socket.close();
    this.broken();
  }

  // The connection broke: the run goes on at the server for a while, and is resumed as soon as possible.
  broken() {
    this.away ??= performance.now();
    this.pace.forget();
    const gone = (performance.now() - this.away) / 1000;
    if (gone > AWAY_S) {
      this.say("the server has not answered for 30 s: the run has ended. Its events are kept here until the page is closed.", true);
      this.reported = true;
      return this.end();
    }
    this.say(`the connection to the server was lost: trying again for ${Math.ceil(AWAY_S - gone)} s`, true);
    this.again = setTimeout(() => this.connect({ type: "resume", id: this.run.id }), 700);
  }

  // A reloaded page resumes its run; events of a run that ended meanwhile are shown, and can be saved.
  async takeUp() {
    let kept = null;
    try {
      kept = JSON.parse(sessionStorage.getItem(RUN) ?? "null");
      const { missing, runs } = await fetched(this.settings.root, "/live/runs");
      if (missing) this.say(missing, true);
      const mine = runs.find((run) => run.id === kept?.id) ?? runs.findLast((run) => !run.running && run.unsaved);
      if (!mine || this.socket) return;
      this.fresh();
      this.run = { id: mine.id, epoch: kept?.epoch ?? 0, browser: mine.browser };
      this.unsaved = mine.unsaved;
      if (!mine.running) {
        for (const event of mine.events) this.takeEvent(event);
        this.unsaved = mine.unsaved;
        this.tally();
        return mine.unsaved ? this.say(`${mine.unsaved} events of a run that has ended are not saved yet.`) : null;
      }
      this.find(`[value=${mine.browser ? "browser" : "server"}]`).checked = true;
      this.find(".mer-private").checked = mine.private;
      this.classList.toggle("mer-blurred", mine.private);
      this.agreed = true; // everyone agreed when the run began
      this.running(true);
      if (mine.browser) await this.openCamera();
      this.away = performance.now();
      this.connect({ type: "resume", id: mine.id });
    } catch (error) {
      if (kept) this.say(REFUSED[error.name] ?? error.message, true);
      this.end();
    }
  }

  stop() {
    this.stopping = true;
    clearTimeout(this.again);
    if (this.socket?.readyState === WebSocket.OPEN) this.order({ type: "stop" });
    else this.end();
    this.camera?.close();
    this.camera = null;
  }

  end() {
    const socket = this.socket;
    clearTimeout(this.again);
    this.socket = null;
    socket?.close();
    this.camera?.close();
    this.camera = null;
    this.recording = null;
    this.stopping = this.reported = this.capturing = false;
    this.away = undefined;
    this.trouble = "";
    sessionStorage.removeItem(RUN);
    this.running(false);
  }

  running(is) {
    this.classList.toggle("mer-running", is);
    this.classList.toggle("mer-server", this.source() === "server");
    for (const name of [".mer-start", ".mer-model", ".mer-sources", ".mer-private"]) this.find(name).disabled = is;
    for (const name of [".mer-stop", ".mer-rest", ".mer-calibrate", ".mer-record", ".mer-note"]) this.find(name).disabled = !is;
    this.sign();
  }

  // --- what goes out -----------------------------------------------------------------------------------------------

  send(packet, time) {
    const now = performance.now();
    const open = this.socket?.readyState === WebSocket.OPEN && this.socket.bufferedAmount <= BACKLOG;
    if (open && this.pace.takes(time, now)) this.socket.send(packet);
    else if (this.state) this.dropped += 1;
  }

  order(values) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(values));
  }

  recalibrate() {
    this.order({ type: "recalibrate", enter: Number(this.find(".mer-enter").value) });
  }

  async record() {
    if (this.recording) return this.order({ type: "record-stop" });
    const video = this.find(".mer-video").checked && !this.find(".mer-private").checked;
    const what = video ? "the video, " : "";
    const answer = await ask("Record this run?", `From now on, ${what}the signals and the events are stored on ${this.find(".mer-where").textContent}, ` +
      "until you delete them, or for half an hour after you close the page. Everyone in view must have agreed to that.",
    [["", "Cancel"], ["yes", "Everyone agrees: record"]]);
    if (answer) this.order({ type: "record", video: video });
    this.find(".mer-stage").focus({ preventScroll: true }); // from now on keys set markers and press no button
  }

  mark(key, text) {
    const time = this.run?.browser ? Date.now() / 1000 - this.run.epoch : undefined;
    this.order({ type: "marker", key, text, time });
  }

  key(key) {
    const word = KEYS[key.key];
    const pressed = word === "space" && key.target.closest("button,a,summary,[role=tab]"); // the button handles it
    if (!word || !this.socket || key.repeat || pressed || typing(key) || !this.offsetParent) return;
    key.preventDefault();
    this.mark(word, "");
  }

  // The log so far, from the server: report, convert and the Recorded page read it.
  async save() {
    if (!this.run?.id) return;
    save(`${this.settings.root}/live/runs/${this.run.id}/events.jsonl`);
    this.unsaved = 0;
    this.tally();
  }

  // --- what comes in -----------------------------------------------------------------------------------------------

  hear(message) {
    if (message.type === "started") {
      this.run = { ...this.run, id: message.id };
      sessionStorage.setItem(RUN, JSON.stringify(this.run));
      this.size = message.size;
      this.cards.started = message.zero ?? this.cards.started;
      this.find(".mer-stage").style.setProperty("--ratio", message.size[0] / message.size[1]);
      this.facts.model.textContent = message.provider ? `${message.model} · ${message.provider}` : "none: events without a class";
      this.facts.model.title = message.why;
      if (this.away !== undefined) {
        const gone = (performance.now() - this.away) / 1000;
        this.notice = { text: `connected again after ${gone.toFixed(1)} s; frames in between were not measured`, until: performance.now() + 6000 };
        this.away = undefined;
        this.say("");
      }
    } else if (message.type === "state") {
      this.update(message);
    } else if (message.type === "event") {
      this.takeEvent(message);
    } else if (message.type === "recording") {
      this.recording = message;
      this.sign();
    } else if (message.type === "recorded") {
      this.recorded(message);
    } else if (message.type === "marker") {
      this.find(".mer-marks").textContent = `${(message.time - this.cards.started).toFixed(2)} s: ${message.text || message.key}`;
    } else if (message.type === "calibrated") {
      if (message.enter !== null) this.find(".mer-enter").value = message.enter;
      this.tellEnter();
      this.notice = { text: message.text, until: performance.now() + 15000 };
    } else if (message.type === "refused") {
      this.notice = { text: message.text, until: performance.now() + 8000 };
    } else if (message.type === "error") {
      this.reported = true;
      this.say(message.text, true);
    }
  }

  takeEvent(event) {
    if (!this.cards.take(event)) return;
    this.labels.set(event.track, { words: event.words, until: event.reported + LABEL_S });
    if (event.status !== "provisional" && !this.recording) this.unsaved += 1;
    if (event.status === "confirmed") this.find(".mer-said").textContent = `${event.words}, at ${(event.onset - this.cards.started).toFixed(1)} s`;
    this.tally();
  }

  recorded(message) {
    this.recording = null;
    this.sign();
    if (message.error) return this.say(`the recording failed: ${message.error}`, true);
    document.dispatchEvent(new CustomEvent("mer-recorded", { detail: message.job }));
    this.notice = { text: `${message.name} was recorded; see the Recorded page`, until: performance.now() + 15000 };
  }

  update(state) {
    if (!this.state) this.cards.started = this.cards.started || state.time;
    this.state = state;
    this.answered = performance.now();
    this.curve.push(state.curve, state.time);
    this.pace.answered(state.time, this.answered);
    const delay = state.delay ?? this.pace.delay();
    const late = state.delay === null && delay && delay[0] > LATE_MS;
    this.facts.fps.textContent = `${state.fps.toFixed(1)} /s`;
    const lost = state.countable ? state.lost : "frames too irregular to count";
    this.facts.lost.textContent = `${lost} (dropped ${state.dropped + this.dropped})`;
    this.facts.delay.textContent = delay ? `${Math.round(delay[0])} / ${Math.round(delay[1])} ms` : "–";
    this.facts.delay.parentElement.classList.toggle("mer-warn", Boolean(delay) && delay[0] > LATE_MS);
    this.facts.faces.textContent = state.faces.map((face) => face.note || "measuring").join(", ") || "none in view";
    const { size, why } = state.smallest ?? { size: "–", why: [] };
    this.facts.smallest.textContent = [size, ...why].join("; ");
    this.facts.smallest.title = why.join("; ");
    this.facts.fps.parentElement.classList.toggle("mer-warn", state.notes.length > 0);
    this.late = late ? `not real time: the display is ${(delay[0] / 1000).toFixed(1)} s behind` : "";
    this.pacing = this.pace.every > 1 ? `one frame in ${this.pace.every} is measured: the connection or the server is too slow for all of them` : "";
    if (state.recording) this.recording = { ...this.recording, ...state.recording };
    this.sign();
    this.banner(state);
    if (!this.waiting) {
      this.waiting = true;
      requestAnimationFrame(() => this.draw());
    }
  }

  banner(state) {
    if (this.reported) return;
    const missing = this.recording?.missing ? `${this.recording.missing} frames are missing in the recorded video` : "";
    const calibrating = state?.calibrating != null ? `calibrating: look at the camera and relax; ${Math.ceil(state.calibrating)} s left` : "";
    const notice = this.notice && this.notice.until > performance.now() ? this.notice.text : "";
    const words = [this.trouble, calibrating, notice, this.late, this.pacing, missing, ...(state?.notes ?? [])].filter(Boolean).join("; ");
    if (words !== this.find(".mer-banner").textContent) this.say(words);
  }

  // Reports that the server sends nothing.
  tick() {
    if (!this.socket && performance.now() - (this.present ?? 0) > PRESENT_MS) {
      this.present = performance.now();
      fetched(this.settings.root, "/live/runs").catch(() => {}); // keeps the owner's recordings
    }
    if (!this.socket || this.away !== undefined || this.reported) return;
    if (this.state && this.run.browser && this.pace.age(performance.now()) > DEAD_MS) return this.lost();
    if (this.state && this.answered && performance.now() - this.answered > SILENT_MS) {
      const seconds = Math.round((performance.now() - this.answered) / 1000);
      const why = this.trouble || (document.hidden ? "this tab is hidden" : "the camera sends no frames, or the server does not answer");
      this.say(`nothing was measured for ${seconds} s: ${why}`, true);
    }
  }

  // The tab was hidden or shown again. Browsers slow hidden tabs down, and the camera with them.
  seen() {
    if (!this.socket) return;
    if (document.hidden) {
      this.hidden = performance.now();
      this.mark("", "the tab was hidden");
    } else if (this.hidden) {
      const seconds = (performance.now() - this.hidden) / 1000;
      this.notice = { text: `the tab was hidden for ${seconds.toFixed(0)} s: the browser slowed the camera down, and frames were lost`, until: performance.now() + 10000 };
      this.hidden = 0;
      this.mark("", "the tab is shown again");
    }
    this.sign();
  }

  // Shows that the camera is on, on every tab of the page and in the window's title.
  sign() {
    const on = this.classList.contains("mer-running");
    const words = this.recording ? "● recording" : "● camera on";
    this.lamp.hidden = !on;
    this.lamp.classList.toggle("mer-recording", Boolean(this.recording));
    if (this.lamp.textContent !== words) this.lamp.textContent = words;
    document.title = on ? `${words}${document.hidden ? " (hidden: slowed down)" : ""} · ${TITLE}` : TITLE;
    const button = this.find(".mer-record");
    button.textContent = this.recording ? "Stop recording" : "Record";
    button.setAttribute("aria-pressed", String(Boolean(this.recording)));
  }

  draw() {
    this.waiting = false;
    const now = this.state?.time ?? 0;
    const words = new Map([...(this.labels ?? [])].filter(([, label]) => label.until > now).map(([face, label]) => [face, label.words]));
    overlay(this.find(".mer-overlay"), this.size, this.state?.faces ?? [], words);
    this.curve.draw(this.find(".mer-curve"), [...this.cards.events.values()].slice(-30), getComputedStyle(this).color);
  }

  async show(jpeg) {
    if (this.showing) return;
    this.showing = true;
    const picture = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    const canvas = this.find(".mer-preview");
    if (canvas.width !== picture.width) Object.assign(canvas, { width: picture.width, height: picture.height });
    canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    this.showing = false;
  }

  say(text, bad = false) {
    const banner = this.find(".mer-banner");
    banner.textContent = text;
    banner.hidden = !text;
    banner.classList.toggle("mer-bad", bad);
  }

  tally() {
    const [found, rejected] = [this.cards.count("confirmed"), this.cards.count("rejected")];
    this.find(".mer-count").textContent = `${found} micro-expression${found === 1 ? "" : "s"}, ${rejected} rejected`;
    this.find(".mer-save").disabled = !this.cards.events.size;
  }
}

customElements.define("mer-live", MerLive);
