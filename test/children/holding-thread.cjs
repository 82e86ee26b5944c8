// A worker thread that holds a lease until it is told to release it.
const { parentPort, workerData } = require("node:worker_threads");
const { attach } = require("../../dist/lib/index.js");

async function main() {
  const weights = await attach(workerData.name, workerData.options);
  parentPort.once("message", async () => {
    await weights.release();
  });
  parentPort.postMessage("attached");
}

main();
