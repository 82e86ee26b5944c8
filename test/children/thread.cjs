// A worker thread: attaches, tells, and releases or stays as it is told.
const { parentPort, workerData } = require("node:worker_threads");
const { attach, builtinModule } = require("../../dist/lib/index.js");

const held = [];

parentPort.on("message", async (message) => {
  try {
    if (message === "attach") {
      const weights = await attach("llm", workerData);
      held.push(weights);
      parentPort.postMessage(await weights.computeChecksum());
    }
    if (message.launches > 0) {
      const weights = await attach("busy", { ...workerData, access: "readwrite" });
      const { device, devicePointer: pointer, bytes } = weights.tensor("block");
      const fill = await (await builtinModule(device)).function("cuda_ipc_fill_u32");
      for (let n = 0; n < message.launches; n++) {
        fill.launch({ grid: 1, block: 256, args: [{ pointer }, { u64: BigInt(bytes / 4) }, { u32: n }] });
      }
      weights.release();
      parentPort.postMessage("releasing");
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
