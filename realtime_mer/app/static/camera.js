// The browser's camera at its full rate: every frame with its own capture time, encoded in a worker.

const WANTED = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 120 } };

export class Camera {
  // epoch: the wall-clock time, s, from which packets count. onPacket(buffer, time): a packet made by capture.js.
  // onDropped(): a frame was dropped here. onState(word): "ended", "muted" or "unmuted".
  constructor(video, epoch, { onPacket, onDropped, onError, onState }) {
    this.video = video;
    this.epoch = epoch;
    this.onState = onState;
    this.worker = new Worker(new URL("capture.js", import.meta.url));
    this.worker.onmessage = ({ data }) => {
      if (data.packet) onPacket(data.packet, data.time);
      else if (data.dropped) onDropped();
      else onError(data.error);
    };
  }

  async open() {
    if (!navigator.mediaDevices) throw new Error("browsers allow cameras only on https:// or http://127.0.0.1");
    this.stream = await navigator.mediaDevices.getUserMedia({ video: WANTED, audio: false });
    const [track] = this.stream.getVideoTracks();
    track.onended = () => this.onState("ended");
    track.onmute = () => this.onState("muted");
    track.onunmute = () => this.onState("unmuted");
    this.video.srcObject = this.stream;
    await this.video.play();
  }

  // Starts sending packets. Without a stream of frames in this browser, the frames that are displayed are used.
  start() {
    const [track] = this.stream.getVideoTracks();
    if ("MediaStreamTrackProcessor" in window) {
      const { readable } = new MediaStreamTrackProcessor({ track, maxBufferSize: 8 });
      this.worker.postMessage({ readable, epoch: this.epoch }, [readable]);
    } else {
      this.watch();
    }
  }

  watch() {
    this.video.requestVideoFrameCallback(async (now, seen) => {
      if (!this.stream) return;
      this.watch();
      const time = (performance.timeOrigin + (seen.captureTime ?? seen.presentationTime)) / 1000 - this.epoch;
      const picture = await createImageBitmap(this.video);
      if (!this.stream) return picture.close();
      this.worker.postMessage({ picture, time }, [picture]);
    });
  }

  close() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
    this.worker.onmessage = null; // later packets are ignored
    this.worker.postMessage({ stop: true });
  }
}
