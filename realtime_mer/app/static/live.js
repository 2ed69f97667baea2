// The live page: <mer-live data-settings="{...}">. Starts and stops an analysis on the server over one WebSocket and
// draws what it reports. Nothing is kept beyond this page; "Save events" hands the list to the person.

import { Camera } from "./camera.js";
import { Cards, make } from "./cards.js";
import { Curve, eventWords, overlay } from "./draw.js";

const BACKLOG = 2 ** 21; // bytes waiting to be sent; above, pictures are dropped here and counted
const LABEL_S = 1.5; // s that an event's name stays beside the face

const BODY = `
<dialog class="mer-consent" aria-labelledby="mer-consent-title">
  <h3 id="mer-consent-title">Before the camera starts</h3>
  <p>This page looks for short movements of the face and says which class of emotion they fit. The answer is a guess
  about a movement: no proof of a feeling, and none of a lie or of stress.</p>
  <ul>
    <li>Pictures are analysed on <b class="mer-where"></b> and forgotten. Nothing is stored unless you save it.</li>
    <li>Everybody in the picture must know of it and agree (EU AI Act, Art. 50(3)).</li>
    <li>Not at work and not in education: inferring emotions there is banned in the EU (Art. 5(1)(f)).</li>
  </ul>
  <form method="dialog">
    <label><input type="checkbox" class="mer-agree"> Everybody in the picture knows of this and agrees</label>
    <menu><button value="no" class="mer-quiet">Cancel</button><button value="yes" class="mer-primary" disabled>Start the camera</button></menu>
  </form>
</dialog>
<div class="mer-grid">
  <section class="mer-main" aria-label="Picture and motion curve">
    <div class="mer-stage">
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
      <button class="mer-rest mer-quiet" type="button" disabled title="Learn the resting face anew: look at the camera and relax for a second">Recalibrate</button>
    </div>
    <label class="mer-field">Sensitivity <output></output>
      <input class="mer-enter" type="range" min="3" max="20" step="0.5"></label>
    <label class="mer-field">Model <select class="mer-model"></select></label>
    <label><input type="checkbox" class="mer-private"> Privacy mode: blur the picture, keep only events</label>
  </section>
  <section class="mer-events" aria-label="Events">
    <div class="mer-events-head"><h3>Events</h3><span class="mer-count" aria-live="polite"></span>
      <button class="mer-save mer-quiet" type="button" disabled>Save events</button></div>
    <label><input type="checkbox" class="mer-rejected"> Show rejected movements</label>
    <div class="mer-cards" data-rejected="no"><p class="mer-empty">None yet.</p></div>
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
    this.agreed = false;
    this.controls();
    this.facts = Object.fromEntries([...this.querySelectorAll("[data-fact]")].map((e) => [e.dataset.fact, e]));
    this.onHide = () => this.end();
    window.addEventListener("pagehide", this.onHide);
    requestAnimationFrame(() => this.draw());
  }

  disconnectedCallback() {
    window.removeEventListener("pagehide", this.onHide);
    this.end();
    this.ready = false;
  }

  controls() {
    const { settings } = this;
    const enter = this.find(".mer-enter");
    enter.value = settings.enter;
    const tell = () => (this.find(".mer-field output").textContent = `reacts at ${enter.value} × the resting noise`);
    tell();
    enter.oninput = tell;
    enter.onchange = () => this.order();
    for (const name of settings.models) this.find(".mer-model").append(make("option", name === settings.model ? { selected: "" } : {}, name));
    for (const radio of this.querySelectorAll("[name=mer-source]")) {
      radio.onchange = () => (this.find(".mer-address").disabled = this.source() !== "server");
    }
    if (!settings.capture) {
      const radio = this.find("[value=server]");
      radio.disabled = true;
      radio.parentElement.title = "only for viewers who sit at the server, or when it was started with --server-cameras";
    }
    this.find(".mer-where").textContent = settings.local ? "this computer" : `the server ${location.host}`;
    this.find(".mer-start").onclick = () => this.begin();
    this.find(".mer-address").onkeydown = (key) => key.key === "Enter" && this.begin();
    this.find(".mer-stop").onclick = () => this.stop();
    this.find(".mer-rest").onclick = () => this.order();
    this.find(".mer-save").onclick = () => this.save();
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

  async begin() {
    if (this.socket) return;
    if (!this.agreed) {
      this.find("dialog").returnValue = "";
      return this.find("dialog").showModal();
    }
    this.say("");
    this.running(true);
    this.dropped = 0;
    this.arrived = new Map();
    this.delays = [];
    this.size = null;
    this.state = null;
    this.labels = new Map();
    this.curve = new Curve();
    this.cards.clear(0);
    this.tally();
    try {
      if (this.source() === "browser") await this.openCamera();
      this.connect();
    } catch (error) {
      const refused = { NotAllowedError: "the browser was not allowed to use the camera", NotFoundError: "this computer has no camera that the browser can see", NotReadableError: "the camera is used by another program" };
      this.end();
      this.say(refused[error.name] ?? error.message ?? String(error), true);
    }
  }

  async openCamera() {
    this.camera = new Camera(this.find("video"), {
      onPacket: (packet, time) => this.send(packet, time),
      onDropped: () => (this.dropped += 1),
      onError: (text) => this.say(text, true),
    });
    await this.camera.open();
  }

  connect() {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${this.settings.path}`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      const source = this.source();
      this.private = this.find(".mer-private").checked;
      socket.send(JSON.stringify({
        type: "start", consent: this.agreed, source, address: this.find(".mer-address").value,
        private: this.private, enter: Number(this.find(".mer-enter").value), model: this.find(".mer-model").value,
      }));
      this.camera?.start();
    };
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.hear(JSON.parse(data)) : this.show(data));
    socket.onclose = () => {
      if (this.socket !== socket) return;
      if (!this.stopping && !this.told) this.say("the connection to the server was lost", true);
      this.end();
    };
  }

  send(packet, time) {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    if (this.socket.bufferedAmount > BACKLOG) {
      this.dropped += 1;
      return;
    }
    this.arrived.set(time, performance.now());
    if (this.arrived.size > 600) this.arrived.delete(this.arrived.keys().next().value);
    this.socket.send(packet);
  }

  hear(message) {
    if (message.type === "started") {
      this.size = message.size;
      this.find(".mer-stage").style.setProperty("--ratio", message.size[0] / message.size[1]);
      this.facts.model.textContent = message.provider ? `${message.model} · ${message.provider}` : "none: events without a class";
      this.facts.model.title = message.why;
    } else if (message.type === "state") {
      this.update(message);
    } else if (message.type === "event") {
      this.labels.set(message.face, { words: eventWords(message), until: message.reported + LABEL_S });
      this.cards.take(message);
      this.tally();
    } else if (message.type === "error") {
      this.told = true;
      this.say(message.text, true);
    }
  }

  update(state) {
    if (!this.state) this.cards.started = state.time;
    this.state = state;
    this.curve.push(state.curve, state.time);
    const sentAt = this.arrived.get(state.time);
    if (sentAt) {
      this.delays.push(performance.now() - sentAt);
      if (this.delays.length > 300) this.delays.shift();
    }
    const sorted = [...this.delays].sort((a, b) => a - b);
    const at = (share) => Math.round(sorted[Math.floor(share * (sorted.length - 1))]);
    const delay = state.delay ?? (sorted.length ? [at(0.5), at(0.95)] : null);
    this.facts.fps.textContent = `${state.fps.toFixed(1)} /s`;
    this.facts.lost.textContent = `${state.lost} (dropped ${state.dropped + this.dropped})`;
    this.facts.delay.textContent = delay ? `${Math.round(delay[0])} / ${Math.round(delay[1])} ms` : "–";
    this.facts.faces.textContent = state.faces.map((face) => face.note || "measuring").join(", ") || "none in view";
    const { size, why } = state.smallest ?? { size: "–", why: [] };
    this.facts.smallest.textContent = [size, ...why].join("; ");
    this.facts.smallest.title = why.join("; ");
    this.facts.fps.parentElement.classList.toggle("mer-warn", state.notes.length > 0);
    if (!this.told && state.notes.join("; ") !== this.find(".mer-banner").textContent) this.say(state.notes.join("; "));
    if (!this.waiting) {
      this.waiting = true;
      requestAnimationFrame(() => this.draw());
    }
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

  order() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.socket.send(JSON.stringify({ type: "recalibrate", enter: Number(this.find(".mer-enter").value) }));
  }

  stop() {
    this.stopping = true;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "stop" }));
    else this.end();
    this.camera?.close();
    this.camera = null;
  }

  end() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.camera?.close();
    this.camera = null;
    this.stopping = this.told = false;
    this.running(false);
  }

  running(is) {
    this.classList.toggle("mer-running", is);
    this.classList.toggle("mer-server", this.source() === "server");
    for (const name of [".mer-start", ".mer-model", ".mer-sources", ".mer-private"]) this.find(name).disabled = is;
    for (const name of [".mer-stop", ".mer-rest"]) this.find(name).disabled = !is;
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

  save() {
    const lines = [...this.cards.events.values()].filter((e) => e.status !== "provisional");
    const text = lines.map(({ pictures, ...event }) => JSON.stringify(event)).join("\n") + "\n";
    const link = make("a", { href: URL.createObjectURL(new Blob([text])), download: "events.jsonl" });
    link.click();
    URL.revokeObjectURL(link.href);
  }
}

customElements.define("mer-live", MerLive);
