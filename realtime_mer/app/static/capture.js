// Worker: turns video frames into packets (8 bytes capture time in s, little endian; then a JPEG), in order.
// It takes either a stream of VideoFrames ({readable, epoch}) or single pictures with their times ({picture, time}),
// and ends itself after {stop}; ended from outside, it would leave pictures unclosed.
// Times are s since ``epoch`` (s by the wall clock): intervals come from the camera's clock, the offset from the first

const QUALITY = 0.92; // lower JPEG quality makes blocks that optical flow measures
const AT_ONCE = 4; // pictures being encoded; more would only add delay, so newer ones are dropped and counted

const canvases = [];
let under_way = 0;
let sent = Promise.resolve();
let reader;
let stopping = false;

async function encode(picture, time) {
  const width = picture.displayWidth ?? picture.width;
  const height = picture.displayHeight ?? picture.height;
  const canvas = canvases.pop() ?? new OffscreenCanvas(width, height);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d", { alpha: false, willReadFrequently: true }).drawImage(picture, 0, 0);
  picture.close();
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
  canvases.push(canvas);
  const packet = new Uint8Array(8 + blob.size);
  new DataView(packet.buffer).setFloat64(0, time, true);
  packet.set(new Uint8Array(await blob.arrayBuffer()), 8);
  return packet.buffer;
}

function take(picture, time) {
  if (stopping) return picture.close();
  if (under_way >= AT_ONCE) {
    picture.close();
    postMessage({ dropped: 1 });
    return;
  }
  under_way += 1;
  const packet = encode(picture, time);
  sent = sent.then(async () => {
    try {
      const buffer = await packet;
      postMessage({ packet: buffer, time }, [buffer]);
    } catch (error) {
      postMessage({ error: String(error) });
    } finally {
      under_way -= 1;
    }
  });
}

async function stop() {
  stopping = true;
  await reader?.cancel();
  await sent;
  close();
}

onmessage = async ({ data }) => {
  if (data.stop) return stop();
  if (data.picture) return take(data.picture, data.time);
  reader = data.readable.getReader();
  let offset = null; // s from the camera's clock to that of the packets
  for (;;) {
    const { value: frame, done } = await reader.read();
    if (done) return;
    const time = frame.timestamp / 1e6;
    offset ??= (performance.timeOrigin + performance.now()) / 1000 - data.epoch - time;
    take(frame, time + offset);
  }
};
