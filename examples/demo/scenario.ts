/** The demo from beginning to end, in a folder of its own. */
import path from "node:path";
import { cudaGetDeviceProperties, cudaMemGetInfo, Owner, type Version } from "../../lib/index.js";
import { usedBytes, usedBytesAfter } from "./device-memory.js";
import { chooseDriver, describeDriver } from "./driver.js";
import { type KillResult, killAndReplace, reaches } from "./kill.js";
import { findLayer, type LayerFile, writeLayer } from "./layer-file.js";
import { counterTensor, sets } from "./messages.js";
import type { Options } from "./options.js";
import { allowances, type Outcome } from "./outcome.js";
import { computeReferences, makeInputs, type References } from "./reference.js";
import { bytesText, msText, say, sayKill, sayMemory, sayWorkers } from "./report.js";
import { runTraffic, type TrafficResult } from "./traffic.js";
import { WorkerPool } from "./worker-pool.js";

const distinctInputs = 4;
const requestsPerWorker = 4;

export async function runScenario(options: Options, folder: string): Promise<Outcome> {
  const { name: driver, why } = await chooseDriver(options.driver);
  const device = await cudaGetDeviceProperties();
  say(`Driver: ${describeDriver(driver)} (${why}).`);
  say(`Device: ${device.name}, ${bytesText(device.totalBytes)}.`);

  const layer = await prepareLayer(options.model, folder, driver);
  const references = await prepareReferences(layer);
  const beforeBytes = await usedBytes();

  const owner = await Owner.listen({ socket: path.join(folder, "owner.sock") });
  const { weights, counter: counterVersion } = await publish(owner, layer, options.sharing);
  const sharedBytes = weights.bytes + counterVersion.bytes;
  const pool = new WorkerPool(owner.socket, layer.tensor);
  await Promise.all(Array.from({ length: options.workers }, () => pool.start()));
  const attached = await reaches(weights, options.workers);
  say(`\n${options.workers} workers attached, reference count ${attached}.`);

  const { kill, traffic } = await serveThroughKill(pool, weights, references, options);
  const checksums = new Map(
    await Promise.all(pool.serving.map(async (worker) => [worker, await worker.ask("checksum")] as const)),
  );
  const counter = Number(await pool.serving[0]!.ask("counter"));
  const withWorkersBytes = await usedBytes();
  sayResults(traffic, kill, counter, references);
  say("\nWorkers");
  sayWorkers(pool.all, checksums);

  await pool.close();
  const afterClose = await reaches(weights, 0);
  await owner.close();
  await weights.whenFreed();
  const afterCloseBytes = await usedBytesAfter(beforeBytes + allowances(driver).left);
  const outcome: Outcome = {
    driver,
    sharing: weights.sharing,
    modelBytes: layer.modelBytes,
    workers: options.workers,
    requests: options.requests,
    wrongAnswers: traffic.wrongAnswers,
    counter,
    answered: traffic.answered,
    inFlightAtKill: kill.inFlightAtKill,
    refCount: { attached, afterKill: kill.afterKill, afterRestart: kill.afterRestart, afterClose },
    reattachMs: kill.replacement.ready!.attachMs,
    weightsChecksumEqualInAllWorkers: [...checksums.values()].every(
      (checksum) => checksum === weights.checksum,
    ),
    deviceMemory: { beforeBytes, withWorkersBytes, afterCloseBytes },
  };
  say(`\nEverything is closed, reference count ${afterClose}.`);
  sayMemory(outcome, sharedBytes);
  return outcome;
}

/** 2 GB where a GPU has room for it; on the CPU that runs the host driver's kernels, a layer that it can keep up with. */
async function prepareLayer(model: string | undefined, folder: string, driver: string): Promise<LayerFile> {
  if (model !== undefined) {
    const layer = await findLayer(model);
    say(`Layer: ${layer.tensor} of ${model}, ${layer.inputs} in x ${layer.outputs} out, ${layer.dtype}.`);
    return layer;
  }
  const { freeBytes } = await cudaMemGetInfo();
  const [inputs, outputs] = driver === "libcuda" && freeBytes > 4e9 ? [10_000, 50_000] : [1024, 16_384];
  const started = performance.now();
  const layer = await writeLayer(path.join(folder, "linear.safetensors"), inputs, outputs);
  const took = msText(performance.now() - started);
  say(
    `Layer: ${inputs} in x ${outputs} out, f32, ${bytesText(layer.modelBytes)}, written to a file in ${took}.`,
  );
  return layer;
}

async function prepareReferences(layer: LayerFile): Promise<References> {
  const started = performance.now();
  const references = await computeReferences(layer, makeInputs(distinctInputs, layer.inputs));
  const how = references.exact ? "to be matched exactly" : "to be matched within the rounding of f32";
  say(
    `Reference: ${distinctInputs} inputs computed on the CPU in ${msText(performance.now() - started)}, ${how}.`,
  );
  return references;
}

async function publish(owner: Owner, layer: LayerFile, sharing: "vmm" | "ipc" | undefined) {
  const started = performance.now();
  const weights = await owner.load(sets.weights, layer.checkpoint, { sharing });
  const seconds = (performance.now() - started) / 1000;
  const rate = `${(layer.modelBytes / 1e9 / seconds).toFixed(2)} GB/s`;
  say(
    `\nOwner (pid ${process.pid}) loaded ${bytesText(layer.modelBytes)} in ${seconds.toFixed(2)} s, ${rate},`,
  );
  say(`shared as ${weights.sharing}, checksum ${weights.checksum}.`);
  const zero = { [counterTensor]: new BigUint64Array(1) };
  const counter = await owner.load(sets.counter, zero, { sharing: weights.sharing, writable: true });
  return { weights, counter };
}

/** Half of the requests, then the kill; the last quarter waits for the replacement, so that it serves too. */
async function serveThroughKill(
  pool: WorkerPool,
  weights: Version,
  references: References,
  { requests, workers }: Options,
): Promise<{ kill: KillResult; traffic: TrafficResult }> {
  let startKill = () => {};
  const killing = new Promise<void>((resolve) => {
    startKill = resolve;
  });
  let replaced: Promise<KillResult> | undefined;
  const gate = killing.then(() => replaced);
  const traffic = runTraffic(pool, {
    requests,
    concurrency: requestsPerWorker * workers,
    references: references.all,
    version: weights.id,
    gatedFrom: Math.floor((requests * 3) / 4),
    gate,
    onAnswer: (answered) => {
      if (replaced !== undefined || answered < requests / 2) return;
      replaced = killAndReplace(pool, weights);
      startKill();
    },
  });
  const [result, kill] = await Promise.all([traffic, gate]);
  return { traffic: result, kill: kill! };
}

function sayResults(traffic: TrafficResult, kill: KillResult, counter: number, references: References): void {
  say(`\nTraffic: ${traffic.answered} requests answered, ${traffic.wrongAnswers} of them wrong.`);
  say(`  every output of every answer was compared with the file${references.exact ? ", exactly" : ""}`);
  sayKill(kill);
  say(`  ${traffic.resent} requests were sent again to another worker`);
  say(`\nCounter in device memory, bumped by all workers: ${counter}`);
  say(
    `  ${traffic.answered} answered <= ${counter} <= ${traffic.answered} answered + ${kill.inFlightAtKill} in flight`,
  );
}
