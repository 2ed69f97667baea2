// The Recorded page: <mer-recorded data-settings="{...}">. Uploads, the list of jobs, and the workbench of the open one.

import { ask, fetched, make, post } from "./ask.js";
import { Workbench } from "./workbench.js";

const PIECE = 4 * 2 ** 20; // bytes of an upload per request
const RETRY_MS = 1000;
const GIVE_UP_MS = 10 * 60 * 1000; // how long an upload waits for the server to come back
const BUSY_MS = 400; // interval between requests for the jobs while something happens
const IDLE_MS = 5000;
const OVER = ["done", "failed", "stopped"];

const BODY = `
<div class="mer-desk">
  <section class="mer-intake" aria-label="Recordings">
    <label class="mer-drop">Videos, a log (.jsonl) or results (.zip)
      <input type="file" class="mer-files" multiple></label>
    <label><input type="checkbox" class="mer-video" checked> Make the annotated video (takes longer)</label>
    <label><input type="checkbox" class="mer-quietly"> Privacy mode: no pictures, no videos, only events</label>
    <label class="mer-field">Sensitivity <output></output>
      <input class="mer-level" type="range" min="3" max="20" step="0.5"></label>
    <button class="mer-analyze mer-primary" type="button" disabled>Analyze</button>
    <div class="mer-status" role="status"></div>
    <h2>Recordings</h2>
    <p class="mer-empty mer-none">None yet. They stay here for half an hour after this page is closed.</p>
    <ul class="mer-jobs"></ul>
  </section>
  <section class="mer-work" aria-label="Workbench" hidden></section>
</div>`;

class MerRecorded extends HTMLElement {
  connectedCallback() {
    if (this.ready) return;
    this.ready = true;
    this.settings = JSON.parse(this.dataset.settings);
    this.root = this.settings.root;
    this.innerHTML = BODY;
    this.find = (selector) => this.querySelector(selector);
    this.jobs = [];
    this.uploads = new Set(); // ids of uploads that this page is sending
    this.problems = [];
    this.bench = new Workbench(this.find(".mer-work"), this.root, (text) => this.problem(text));
    const level = this.find(".mer-level");
    level.value = this.settings.enter;
    level.oninput = () => (this.find(".mer-field output").textContent = `threshold: ${level.value} × the resting noise`);
    level.oninput();
    const files = this.find(".mer-files");
    files.accept = this.settings.kinds.join(",");
    files.onchange = () => (this.find(".mer-analyze").disabled = !files.files.length);
    this.find(".mer-analyze").onclick = () => this.analyze();
    this.onLeave = (leave) => this.uploads.size && leave.preventDefault();
    this.onRecorded = ({ detail }) => {
      this.wanted = detail;
      this.look();
    };
    window.addEventListener("beforeunload", this.onLeave);
    document.addEventListener("mer-recorded", this.onRecorded);
    this.look();
  }

  disconnectedCallback() {
    window.removeEventListener("beforeunload", this.onLeave);
    document.removeEventListener("mer-recorded", this.onRecorded);
    clearTimeout(this.timer);
    this.ready = false;
  }

  // --- uploads -----------------------------------------------------------------------------------------------------

  async analyze() {
    const input = this.find(".mer-files");
    const files = [...input.files];
    input.value = "";
    this.find(".mer-analyze").disabled = true;
    this.problems = [];
    this.wanted = null;
    const options = { enter: Number(this.find(".mer-level").value), private: this.find(".mer-quietly").checked, video: this.find(".mer-video").checked };
    for (const file of files) {
      try {
        const job = await post(this.root, "/jobs", { name: file.name, size: file.size, options });
        this.wanted ??= job.id;
        this.send(file, job.id);
      } catch (error) {
        this.problem(error.message);
      }
    }
    this.look();
  }

  // Sends a file in parts; after a broken connection it continues where the server says that it stopped.
  async send(file, id) {
    this.uploads.add(id);
    let have = 0;
    let since = performance.now();
    while (have < file.size) {
      try {
        const answer = await fetch(`${this.root}/jobs/${id}/upload?at=${have}`, { method: "PUT", body: file.slice(have, have + PIECE) });
        if (!answer.ok && answer.status !== 409) break; // stopped or removed
        const size = (await answer.json()).have;
        if (answer.status === 409 && size === have) break; // it is no longer being uploaded
        have = size;
        since = performance.now();
      } catch {
        if (performance.now() - since > GIVE_UP_MS) {
          this.problem(`${file.name}: the server cannot be reached; the upload was abandoned`);
          break;
        }
        await new Promise((resume) => setTimeout(resume, RETRY_MS));
      }
    }
    this.uploads.delete(id);
    this.look();
  }

  // --- the list of jobs --------------------------------------------------------------------------------------------

  async look() {
    clearTimeout(this.timer);
    let wait = IDLE_MS;
    try {
      this.jobs = (await fetched(this.root, "/jobs")).jobs;
      this.gone = false;
      if (this.jobs.some((job) => !OVER.includes(job.state))) wait = BUSY_MS;
    } catch {
      this.gone = true;
      wait = RETRY_MS;
    }
    if (!this.ready) return;
    this.list();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), wait);
  }

  list() {
    const list = this.find(".mer-jobs");
    this.find(".mer-none").hidden = this.jobs.length > 0;
    const ids = new Set(this.jobs.map((job) => job.id));
    for (const row of [...list.children]) if (!ids.has(row.dataset.id)) row.remove();
    for (const job of this.jobs) this.row(list, job);
    this.tell();
    if (this.bench.id && !ids.has(this.bench.id) && !this.gone) this.bench.close();
    const wanted = this.jobs.find((job) => job.id === this.wanted) ?? (this.bench.id ? null : this.jobs.findLast((job) => job.state === "done"));
    if (wanted?.state === "done" && wanted.id !== this.bench.id) this.open(wanted.id);
    if (wanted && OVER.includes(wanted.state)) this.wanted = null;
  }

  row(list, job) {
    let row = list.querySelector(`[data-id="${job.id}"]`);
    if (!row) {
      row = make("li", { "data-id": job.id }, make("button", { type: "button", class: "mer-open" }), make("span", { class: "mer-how" }),
        make("progress", { max: 1 }), make("button", { type: "button", class: "mer-end mer-quiet" }));
      row.querySelector(".mer-open").onclick = () => this.open(job.id);
      row.querySelector(".mer-end").onclick = () => this.finish(job.id);
      list.append(row);
    }
    const over = OVER.includes(job.state);
    const [name, how, bar, end] = row.children;
    name.textContent = job.name;
    name.disabled = job.state !== "done";
    name.setAttribute("aria-current", String(job.id === this.bench.id));
    how.textContent = this.how(job);
    row.className = `mer-${job.state}`;
    bar.hidden = over || job.state === "queued" || job.state === "recording";
    bar.setAttribute("aria-label", `progress of ${job.name}`);
    const share = job.state === "running" ? job.share : null;
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
    end.textContent = over ? "Remove" : "Stop";
    end.hidden = job.state === "recording";
    end.setAttribute("aria-label", `${end.textContent} ${job.name}`);
  }

  how(job) {
    if (job.state === "uploading") return this.uploads.has(job.id) ? "uploading" : "the upload was interrupted: remove it and choose the file again";
    if (job.state === "queued") return job.position ? `waiting: ${job.position} before it` : "waiting: the next one";
    if (job.state === "running") {
      const left = job.left === null ? "" : `, about ${job.left < 90 ? `${Math.ceil(job.left)} s` : `${Math.round(job.left / 60)} min`} left`;
      return `${job.frames} frames, ${job.found} micro-expressions so far${left}`;
    }
    if (job.state === "recording") return `recording: ${job.frames} frames, ${job.found} micro-expressions`;
    if (job.state === "done") return `${job.found} micro-expression${job.found === 1 ? "" : "s"} in ${job.frames} frames`;
    return job.error;
  }

  async finish(id) {
    const job = this.jobs.find((each) => each.id === id);
    if (!job) return;
    try {
      if (!OVER.includes(job.state)) await post(this.root, `/jobs/${id}/stop`);
      else if (job.state !== "done" || (await ask("Remove this recording?", `${job.name}, its results and its reviews will be deleted from the server.`,
        [["", "Cancel"], ["yes", "Remove"]]))) await fetched(this.root, `/jobs/${id}`, { method: "DELETE" });
    } catch (error) {
      this.problem(error.message);
    }
    this.look();
  }

  async open(id) {
    this.wanted = null;
    if (!(await this.bench.open(id))) return;
    this.list();
  }

  problem(text) {
    if (!this.problems.includes(text)) this.problems.push(text);
    this.tell();
  }

  tell() {
    const failed = this.jobs.filter((job) => job.state === "failed").map((job) => job.error);
    const lines = [...(this.gone ? ["the server cannot be reached: trying again"] : []), ...this.problems, ...failed];
    const status = this.find(".mer-status");
    if (status.dataset.lines === lines.join("\n")) return;
    status.dataset.lines = lines.join("\n");
    status.replaceChildren(...lines.map((line) => make("p", { class: "mer-bad" }, line)));
  }
}

customElements.define("mer-recorded", MerRecorded);
