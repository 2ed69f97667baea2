// The timeline of a recording: motion and threshold of each face, events as bands, markers, and the playhead.
// Drawn by Plotly, which is loaded from this server when the first recording is opened.

import { make } from "./ask.js";
import { FACES } from "./draw.js";

const MICRO = "#d55e00";
const OTHER = "#8a8a93";
const GRID = "rgba(128,128,128,.28)";

let loading = null;
function plotly() {
  loading ??= new Promise((ready, failed) => {
    const address = new URL("plotly.js", import.meta.url).href;
    document.head.append(Object.assign(document.createElement("script"), { src: address, onload: () => ready(window.Plotly), onerror: () => failed(new Error("plotly cannot be loaded")) }));
  });
  return loading;
}

export class Timeline {
  constructor(element, { onSeek, onChoose }) {
    this.element = element;
    this.onSeek = onSeek;
    this.onChoose = onChoose;
    this.plot = make("div", { class: "mer-plot" });
    this.head = make("div", { class: "mer-playhead", hidden: "" });
    element.replaceChildren(this.plot, this.head);
    this.shown = [];
    this.now = null;
    this.observer = new ResizeObserver(() => this.drawn && element.offsetParent && window.Plotly.Plots.resize(this.plot));
    this.observer.observe(element);
  }

  close() {
    this.observer.disconnect();
    if (this.drawn) window.Plotly.purge(this.plot);
    this.drawn = false;
  }

  async fill(result) {
    this.result = result;
    const Plotly = await plotly();
    if (!this.element.isConnected) return;
    const ink = getComputedStyle(this.element).color;
    const lines = Object.entries(result.curves).flatMap(([track, rows]) => {
      const color = FACES[(Number(track) - 1) % FACES.length];
      const x = rows.map((row) => row[0] - result.start);
      return [
        { x, y: rows.map((row) => row[1]), mode: "lines", name: `face ${track}`, line: { color: color, width: 1.4 } },
        { x, y: rows.map((row) => row[2]), mode: "lines", name: `threshold ${track}`, line: { color: color, width: 1, dash: "dot" }, hoverinfo: "skip" },
      ];
    });
    const top = Math.max(1, ...Object.values(result.curves).flatMap((rows) => rows.map((row) => row[1])));
    this.top = top;
    const markers = result.markers.length ? [{
      x: result.markers.map((m) => m.time - result.start), y: result.markers.map(() => 0), mode: "markers", name: "markers",
      marker: { symbol: "diamond", size: 10, color: ink }, text: result.markers.map((m) => m.text || m.key), hovertemplate: "%{text}, %{x:.3f} s<extra></extra>",
    }] : [];
    const axis = { gridcolor: GRID, zeroline: false, color: ink };
    const layout = {
      height: 260, margin: { l: 48, r: 12, t: 30, b: 42 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", color: ink, size: 12 }, legend: { orientation: "h", y: 1.2 }, dragmode: "zoom", hovermode: "closest",
      xaxis: { ...axis, title: { text: "time, s (drag: zoom, double-click: all)" } },
      yaxis: { ...axis, title: { text: "motion / resting noise" }, range: [0, 1.15 * top] }, shapes: [],
    };
    const apexes = { x: [], y: [], text: [], customdata: [], mode: "markers", name: "events", marker: { symbol: "triangle-down", size: 11, color: [] }, hovertemplate: "%{text}<br>apex %{x:.3f} s<extra></extra>" };
    await Plotly.react(this.plot, [...lines, ...markers, apexes], layout, { displaylogo: false, responsive: false, displayModeBar: false });
    if (!this.drawn) {
      this.drawn = true;
      this.plot.on("plotly_click", ({ points: [point] }) => (point.customdata ? this.onChoose(point.customdata) : this.onSeek(point.x + result.start)));
      this.plot.on("plotly_relayout", () => this.place());
      this.plot.on("plotly_afterplot", () => this.place());
    }
    this.draw();
  }

  bands(events, chosen) {
    this.shown = events;
    this.chosen = chosen;
    if (this.drawn) this.draw();
  }

  draw() {
    const { start } = this.result;
    const colors = this.shown.map((event) => (event.status === "confirmed" ? MICRO : OTHER));
    const shapes = this.shown.map((event, i) => ({
      type: "rect", yref: "paper", x0: event.onset - start, x1: (event.offset ?? event.apex) - start, y0: 0, y1: 1, fillcolor: colors[i], layer: "below",
      opacity: event.status === "confirmed" ? 0.32 : 0.16, line: { width: event.key === this.chosen ? 2 : 0, color: colors[i] },
    }));
    const apexes = {
      x: [this.shown.map((event) => event.apex - start)], y: [this.shown.map(() => 1.06 * this.top)], text: [this.shown.map((event) => event.line ?? event.words)],
      customdata: [this.shown.map((event) => event.key)], "marker.color": [colors], "marker.size": [this.shown.map((event) => (event.key === this.chosen ? 15 : 10))],
    };
    window.Plotly.update(this.plot, apexes, { shapes }, [this.plot.data.length - 1]);
  }

  // now: s on the recording's own clock.
  playhead(now) {
    this.now = now;
    this.place();
  }

  place() {
    const axis = this.plot._fullLayout?.xaxis;
    if (!axis || this.now === null) return;
    const { _offset: left, _length: width } = axis;
    const { t: top, h: height } = this.plot._fullLayout._size;
    Object.assign(this.head.style, { top: `${top}px`, height: `${height}px` });
    const x = axis.l2p(this.now - this.result.start);
    this.head.hidden = x < 0 || x > width;
    this.head.style.transform = `translateX(${left + x}px)`;
  }
}
