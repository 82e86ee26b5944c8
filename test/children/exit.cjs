// Ends at the stage of life that its argument names. The test looks at how.
const { Worker, isMainThread, parentPort, workerData } = require("node:worker_threads");
const cuda = require("../../dist/lib/cuda/index.js");

const MIB = 1 << 20;
const kept = []; // what lives until the end

const stages = {
  "before anything"() {},
  async "after asking for the version"() {
    await cuda.cudaDriverGetVersion();
  },
  async "after a context"() {
    await cuda.cudaDeviceSynchronize();
  },
  async "with memory allocated"() {
    kept.push(await cuda.cudaMalloc(4 * MIB));
  },
  async "with objects alive"() {
    const stream = await cuda.Stream.create();
    const event = await cuda.Event.create();
    const module = await cuda.builtinModule();
    const kernel = await module.function("cuda_ipc_fill_u8");
    const vmm = await cuda.VmmAllocation.create(2 * MIB);
    const pointer = await vmm.map();
    kernel.launch({ grid: 1, block: 32, stream, args: [{ pointer }, { u64: 1000n }, { u8: 7 }] });
    event.record(stream);
    kept.push(stream, event, module, kernel, vmm, vmm.export());
  },
  async "with objects disposed"() {
    await stages["with objects alive"]();
    for (const object of kept) await object.dispose?.();
  },
  "with the first call pending"() {
    cuda.cudaMalloc(4 * MIB);
  },
  async "with copies pending"() {
    const pointer = await cuda.cudaMalloc(64 * MIB);
    const stream = await cuda.Stream.create();
    for (let i = 0; i < 4; i++) {
      cuda.cudaMemcpy(new Uint8Array(64 * MIB), pointer);
      cuda.cudaMemcpyAsync(pointer, Buffer.alloc(MIB), undefined, { stream });
      cuda.cudaMemset(pointer, i, 64 * MIB);
    }
    stream.synchronize();
  },
  async "in process.exit() with copies pending"() {
    await stages["with copies pending"]();
    parentPort?.postMessage("started");
    process.exit(0);
  },
  async "by an uncaught exception with copies pending"() {
    await stages["with copies pending"]();
    throw new Error("uncaught, on purpose");
  },
  async "in worker_threads"() {
    const ends = [
      "before anything",
      "after a context",
      "with objects alive",
      "in process.exit() with copies pending",
    ];
    const workers = ends.map((stage) => new Worker(__filename, { workerData: { stage } }));
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve))));
    await cuda.cudaDeviceSynchronize();
  },
  async "after terminating workers"() {
    for (const stage of ["with copies pending", "with objects alive", "with the first call pending"]) {
      const worker = new Worker(__filename, { workerData: { stage, report: true } });
      await new Promise((resolve) => worker.once("message", resolve));
      await worker.terminate();
    }
    await cuda.cudaDeviceSynchronize();
  },
  async "in process.exit() with workers at work"() {
    const worker = new Worker(__filename, { workerData: { stage: "with copies pending", report: true } });
    await new Promise((resolve) => worker.once("message", resolve));
    process.exit(0);
  },
};

async function live(stage) {
  await stages[stage]();
  if (workerData?.report) parentPort.postMessage("started");
}

module.exports = Object.keys(stages);
if (require.main === module || !isMainThread) live(isMainThread ? process.argv[2] : workerData.stage);
