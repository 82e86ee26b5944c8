// Terminates worker_threads while they and the main thread send each other bytes and descriptors.
const { openSync, readdirSync } = require("node:fs");
const { Worker, isMainThread, parentPort, workerData } = require("node:worker_threads");
const { native } = require("../../../dist/lib/native.js");
const openFds = () => readdirSync("/proc/self/fd").length;

function flood(channel, onTraffic) {
  const file = native.adoptFd(openSync("/dev/null", "r"));
  const push = () => {
    while (channel.fd >= 0 && channel.send(Buffer.alloc(20_000), [file, file]));
  };
  native.startChannel(channel, {
    onData(_bytes, fds) {
      for (const fd of fds) fd.close();
      onTraffic();
    },
    onDrain: push,
    onClose() {
      file.close();
    },
  });
  channel.ref();
  push();
}

async function work() {
  native
    .listen(
      `${workerData}.${process.pid}.${Math.random()}`,
      { mode: 0o600, backlog: 5 },
      () => {},
      () => {},
    )
    .ref();
  const channel = await native.connect(workerData);
  channel.watchPeer(() => {});
  let messages = 0;
  flood(channel, () => {
    if (++messages === 20) parentPort.postMessage("busy");
  });
}

async function main() {
  const socket = process.argv[2];
  const listener = native.listen(
    socket,
    { mode: 0o600, backlog: 5 },
    (channel) => flood(channel, () => {}),
    (error) => console.log(error.message),
  );
  let before;
  for (let i = 0; i < 20; ++i) {
    // Or Node closes what was opened there once more, when it may be somebody else's.
    const worker = new Worker(__filename, { workerData: socket, trackUnmanagedFds: false });
    worker.on("error", (error) => console.log(error));
    await new Promise((resolve) => worker.once("message", resolve));
    await worker.terminate();
    if (i === 0) before = await settled(openFds);
  }
  console.log("terminated 20");
  console.log(`leaked ${Math.max(0, (await settled(openFds, before)) - before)}`);
  listener.close();
}

/** The count once it is at most `wanted`, or does not change any more. */
async function settled(count, wanted = -1) {
  let last = -1;
  for (let same = 0; same < 20; ) {
    const now = count();
    if (now <= wanted) return now;
    same = now === last ? same + 1 : 0;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return last;
}

if (isMainThread) main();
else work();
