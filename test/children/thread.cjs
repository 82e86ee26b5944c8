// A worker thread: attaches, tells, and releases or stays as it is told.
const { parentPort, workerData } = require("node:worker_threads");
const { attach } = require("../../dist/lib/index.js");

const held = [];

parentPort.on("message", async (message) => {
  try {
    if (message === "attach") {
      const weights = await attach("llm", workerData);
      held.push(weights);
      parentPort.postMessage(await weights.computeChecksum());
    }
    if (message === "release") {
      for (const weights of held.splice(0)) await weights.release();
      parentPort.postMessage("released");
    }
    if (message === "exit") process.exit(0);
  } catch (error) {
    parentPort.postMessage(error.code);
  }
});
