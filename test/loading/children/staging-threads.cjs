// Loads in a worker thread, in another one that is terminated meanwhile, and in the main thread when those are gone.
// One reader, so two chunks of staging at a time.
const { once } = require("node:events");
const { Worker, isMainThread, parentPort, workerData } = require("node:worker_threads");
const { native } = require("../../../dist/lib/native.js");

const bytes = 32 << 20;

async function load() {
  const source = new Uint8Array(bytes);
  const base = await native.memAlloc(0, bytes);
  const runs = [{ source: 0, offset: 0, bytes, target: 0 }];
  const onProgress = () => parentPort?.postMessage("loading");
  await native.load({ device: 0, base, sources: [source], runs, threads: 1, onProgress });
  await native.memFree(0, base);
}

async function main() {
  await once(new Worker(__filename, { workerData: "once" }), "exit");
  const busy = new Worker(__filename, { workerData: "again and again" });
  await once(busy, "message");
  await busy.terminate();
  await load();
}

async function thread() {
  do await load();
  while (workerData !== "once");
}

if (isMainThread) main();
else thread();
