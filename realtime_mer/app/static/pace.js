// Decides how many of the camera's frames are sent: as many as come back in time. Drops are even, and counted.

const LATE_MS = 150; // age of the oldest frame that was sent and is not measured yet
const EASY_MS = 75; // below it, more frames can be sent
const STUCK_MS = 600; // above it, nothing is sent until an answer comes
const PATIENCE_MS = 400; // it must be late, or easy, for this long before the pace changes, so that a hiccup costs no frames
const MOST_SKIPPED = 16;

export class Pace {
  constructor() {
    this.every = 1; // one frame in this many is sent
    this.sent = new Map(); // time of a frame -> when it was sent, ms; oldest first
    this.turn = 0;
    this.steady = 0; // when it became neither late nor easy, or the pace changed, ms
    this.was = "";
    this.delays = []; // of the latest frames that came back, ms
  }

  // Whether to send the frame.
  takes(time, now) {
    const age = this.age(now);
    const is = age > LATE_MS ? "late" : age < EASY_MS ? "easy" : "";
    if (is !== this.was) [this.was, this.steady] = [is, now];
    if (is && now - this.steady > PATIENCE_MS) {
      this.every = is === "late" ? Math.min(2 * this.every, MOST_SKIPPED) : Math.max(this.every - 1, 1);
      this.steady = now;
    }
    this.turn += 1;
    if (this.turn % this.every || age > STUCK_MS) return false;
    this.sent.set(time, now);
    return true;
  }

  // The server has measured all frames up to ``time``.
  answered(time, now) {
    for (const [each, at] of this.sent) {
      if (each > time) break;
      this.sent.delete(each);
      this.delays.push(now - at);
    }
    if (this.delays.length > 300) this.delays.splice(0, this.delays.length - 300);
  }

  // Age of the oldest frame that was sent and not measured yet, ms.
  age(now) {
    const first = this.sent.values().next();
    return first.done ? 0 : now - first.value;
  }

  // Frames of a connection that broke never come back.
  forget() {
    this.sent.clear();
  }

  // Median and 95th percentile of the delay, ms; null while unknown.
  delay() {
    const sorted = [...this.delays].sort((a, b) => a - b);
    return sorted.length ? [0.5, 0.95].map((share) => sorted[Math.floor(share * (sorted.length - 1))]) : null;
  }
}
