// A worker thread: attaches, tells, and releases or stays as it is told.
const { parentPort, workerData } = require("node:worker_threads");
const { attach, builtinModule } = require("../../dist/lib/index.js");
const { clientOf } = require("../../dist/lib/sharing/clients.js");

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
    if (message.lock !== undefined) {
      await held[0].lock(message.lock);
      parentPort.postMessage("locked");
    }
    if (message.work > 0) {
      const { device, devicePointer: pointer, bytes } = held[0].tensor("block");
      const fill = await (await builtinModule(device)).function("cuda_ipc_fill_u32");
      for (let n = 0; n < message.work; n++) {
        fill.launch({ grid: 1, block: 256, args: [{ pointer }, { u64: BigInt(bytes / 4) }, { u32: n }] });
      }
      parentPort.postMessage("working");
    }
    if (message === "break") {
      clientOf(workerData.socket).link.open.options.channel.close();
      parentPort.postMessage("broken");
      // It never comes to connecting anew.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
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
