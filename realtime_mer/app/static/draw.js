// Draws over the video and below it. Okabe & Ito's colors; every color also has a shape or a word.

export const FACES = ["#56b4e9", "#e69f00", "#cc79a7", "#009e73"];
const YELLOW = "#f0e442";
const VERMILLION = "#d55e00";
const GRAY = "#96969f";
const GAIN = 10; // ratio of an arrow to the movement, since 1 px would be invisible
const VISIBLE = 0.3; // px of the aligned face; smaller displacements are drawn as resting
const STRONG = 2;
const WINDOW = 8; // s of the curve

export const faceColor = (track) => FACES[(track - 1) % FACES.length];

export function eventColor(event) {
  if (event.status === "provisional") return YELLOW;
  if (event.status === "confirmed") return VERMILLION;
  return event.kind === "macro" ? "#cc79a7" : GRAY;
}

// Makes the canvas as large as it is shown, in device pixels; returns its context, scaled to CSS pixels.
function prepared(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

export function overlay(canvas, size, faces, labels) {
  const { pen, width } = prepared(canvas);
  if (!size) return;
  const scale = width / size[0];
  for (const face of faces) {
    const [x0, y0, x1, y1] = face.box.map((v) => v * scale);
    const color = faceColor(face.track);
    corners(pen, x0, y0, x1, y1, color);
    for (const [x, y, dx, dy, moved] of face.regions) region(pen, x * scale, y * scale, dx * scale, dy * scale, moved, (x1 - x0) / 200);
    const words = labels.get(face.track) ?? (face.note ? `face ${face.track}: ${face.note}` : `face ${face.track}`);
    tag(pen, words, x0, y0 - 14, color);
  }
}

function corners(pen, x0, y0, x1, y1, color) {
  const arm = 0.14 * Math.min(x1 - x0, y1 - y0);
  for (const [style, line] of [["rgba(20,20,25,.7)", 5], [color, 2.5]]) {
    pen.strokeStyle = style;
    pen.lineWidth = line;
    pen.beginPath();
    for (const [x, y, sx, sy] of [[x0, y0, 1, 1], [x1, y0, -1, 1], [x1, y1, -1, -1], [x0, y1, 1, -1]]) {
      pen.moveTo(x + sx * arm, y);
      pen.lineTo(x, y);
      pen.lineTo(x, y + sy * arm);
    }
    pen.stroke();
  }
}

function region(pen, x, y, dx, dy, moved, unit) {
  if (moved <= VISIBLE) {
    dot(pen, x, y, 2.6 * unit, "rgba(20,20,25,.6)");
    dot(pen, x, y, 1.7 * unit, "rgba(245,243,240,.9)");
    return;
  }
  const share = Math.min((moved - VISIBLE) / (STRONG - VISIBLE), 1);
  dot(pen, x, y, 12 * unit, `rgba(230,159,0,${0.3 + 0.4 * share})`);
  const [tx, ty] = [x + GAIN * dx, y + GAIN * dy];
  const angle = Math.atan2(ty - y, tx - x);
  const head = 6 * unit;
  for (const [style, line] of [["rgba(20,20,25,.8)", 4.5 * unit], [YELLOW, 2 * unit]]) {
    pen.strokeStyle = pen.fillStyle = style;
    pen.lineWidth = line;
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(tx, ty);
    pen.moveTo(tx - head * Math.cos(angle - 0.5), ty - head * Math.sin(angle - 0.5));
    pen.lineTo(tx, ty);
    pen.lineTo(tx - head * Math.cos(angle + 0.5), ty - head * Math.sin(angle + 0.5));
    pen.stroke();
  }
}

function dot(pen, x, y, radius, style) {
  pen.fillStyle = style;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

function tag(pen, words, x, y, color) {
  pen.font = "600 12px system-ui, sans-serif";
  const wide = pen.measureText(words).width + 16;
  x = Math.max(0, Math.min(x, pen.canvas.clientWidth - wide));
  y = Math.max(11, y);
  pen.fillStyle = "rgba(20,20,25,.78)";
  pen.fillRect(x, y - 11, wide, 22);
  pen.fillStyle = color;
  pen.fillRect(x, y - 11, 4, 22);
  pen.fillStyle = "#f5f3f0";
  pen.textBaseline = "middle";
  pen.fillText(words, x + 9, y + 1);
}

// The last WINDOW seconds: a line per face, its threshold dashed, events as bands with a mark at the apex.
export class Curve {
  constructor() {
    this.points = new Map(); // track -> [time, level, threshold]
    this.now = 0;
  }

  push(rows, now) {
    this.now = now;
    for (const [time, track, level, limit] of rows) {
      if (!this.points.has(track)) this.points.set(track, []);
      this.points.get(track).push([time, level, limit]);
    }
    for (const [track, points] of this.points) {
      const keep = points.findIndex((p) => p[0] >= now - WINDOW);
      if (keep < 0) this.points.delete(track);
      else if (keep > 0) points.splice(0, keep);
    }
  }

  draw(canvas, events, ink) {
    const { pen, width, height } = prepared(canvas);
    const all = [...this.points.values()].flat();
    const limit = all.length ? all[all.length - 1][2] : 6;
    const top = Math.max(1.8 * limit, 1.1 * all.reduce((most, p) => Math.max(most, p[1]), 0));
    const x = (time) => width - ((this.now - time) / WINDOW) * width;
    const y = (level) => height - 16 - (level / top) * (height - 34);
    pen.font = "11px system-ui, sans-serif";
    let free = 0; // px from the left where the next word may stand
    for (const event of [...events].sort((a, b) => a.onset - b.onset)) {
      const from = x(event.onset);
      const to = Math.max(x(event.offset ?? event.reported), from + 2);
      if (to < 0) continue;
      pen.globalAlpha = 0.28;
      pen.fillStyle = eventColor(event);
      pen.fillRect(from, 0, to - from, height - 16);
      pen.globalAlpha = 1;
      const apex = x(event.apex);
      pen.fillStyle = eventColor(event);
      pen.beginPath();
      pen.moveTo(apex, 24);
      pen.lineTo(apex - 5, 15);
      pen.lineTo(apex + 5, 15);
      pen.fill();
      pen.fillStyle = ink;
      const words = event.status === "rejected" ? event.kind : "micro";
      const at = Math.max(from, 2);
      if (at >= free) {
        pen.fillText(words, at, 11);
        free = at + pen.measureText(words).width + 6;
      }
    }
    pen.fillStyle = pen.strokeStyle = ink;
    pen.globalAlpha = 0.55;
    for (let second = Math.ceil(this.now - WINDOW); second <= this.now; second++) {
      pen.fillRect(x(second), height - 16, 1, 4);
    }
    pen.fillText(`last ${WINDOW} s`, 4, height - 3);
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((size) => top / size <= 4) ?? 1000;
    for (let level = step; level < top; level += step) {
      pen.fillRect(0, y(level), 4, 1);
      pen.fillText(String(level), 7, y(level) + 4);
    }
    pen.globalAlpha = 1;
    for (const [track, points] of this.points) {
      this.line(pen, points, x, y, 2, ink, [5, 4], 1);
      this.line(pen, points, x, y, 1, faceColor(track), [], 2);
    }
    if (all.length) {
      const words = `threshold ${limit.toFixed(1)}`;
      pen.fillStyle = ink;
      pen.fillText(words, width - pen.measureText(words).width - 4, y(limit) - 5);
    }
  }

  line(pen, points, x, y, column, style, dash, wide) {
    pen.strokeStyle = style;
    pen.lineWidth = wide;
    pen.setLineDash(dash);
    pen.beginPath();
    let last = -Infinity;
    for (const point of points) {
      if (point[0] - last > 0.25) pen.moveTo(x(point[0]), y(point[column]));
      else pen.lineTo(x(point[0]), y(point[column]));
      last = point[0];
    }
    pen.stroke();
    pen.setLineDash([]);
  }
}
