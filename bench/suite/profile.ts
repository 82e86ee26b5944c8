/** How much is measured: on a GPU, on the host driver, and quickly on either. */
import { defaultBytes, defaultTensors } from "../attach/model.js";

const KiB = 1 << 10;
const MiB = 1 << 20;
const GiB = 2 ** 30;

export interface Profile {
  /** The set that most measures are about. */
  set: { bytes: number; tensors: number };
  load: { rounds: number; peerRounds: number };
  loadSize: { bytes: number[]; rounds: number };
  loadThreads: { threads: number[]; rounds: number };
  loadChunks: { chunkBytes: number[]; rounds: number };
  loadCold: { rounds: number };
  attach: { samples: number; repeats: number; rested: number; peerConsumers: number; peerRepeats: number };
  attachBytes: { bytes: number[]; samples: number; repeats: number };
  attachTensors: { counts: number[]; bytes: number; samples: number; repeats: number };
  attachConcurrent: { workers: number[]; bytes: number; rounds: number };
  kernelRead: { samples: number };
  memory: { workers: number[]; readings: number };
  refcount: { batches: number; ledgerOperations: number; ownerOperations: number; pointerReads: number };
  death: { kills: number; frees: number; bytes: number; leakBytes: number; leakRounds: number };
  restart: { workers: number; rounds: number };
  start: { samples: number };
}

const gpu: Profile = {
  set: { bytes: defaultBytes, tensors: defaultTensors },
  load: { rounds: 10, peerRounds: 5 },
  loadSize: { bytes: [16 * MiB, 64 * MiB, 256 * MiB, GiB, 4 * GiB], rounds: 5 },
  loadThreads: { threads: [1, 2, 4, 8, 12], rounds: 3 },
  loadChunks: { chunkBytes: [MiB, 2 * MiB, 4 * MiB, 8 * MiB], rounds: 3 },
  loadCold: { rounds: 3 },
  attach: { samples: 10, repeats: 20, rested: 2, peerConsumers: 3, peerRepeats: 6 },
  attachBytes: { bytes: [2 * MiB, 32 * MiB, 512 * MiB, 4 * GiB, 32 * GiB], samples: 3, repeats: 8 },
  attachTensors: { counts: [1, 10, 100, 1000, 10_000], bytes: 64 * MiB, samples: 3, repeats: 8 },
  attachConcurrent: { workers: [1, 4, 16, 64], bytes: GiB, rounds: 6 },
  kernelRead: { samples: 40 },
  memory: { workers: [1, 2, 4, 8], readings: 5 },
  refcount: { batches: 20, ledgerOperations: 10_000, ownerOperations: 500, pointerReads: 1_000_000 },
  death: { kills: 8, frees: 4, bytes: GiB, leakBytes: GiB, leakRounds: 2 },
  restart: { workers: 4, rounds: 3 },
  start: { samples: 12 },
};

const gpuQuick: Profile = {
  ...gpu,
  set: { bytes: GiB, tensors: defaultTensors },
  load: { rounds: 5, peerRounds: 3 },
  loadSize: { bytes: [64 * MiB, GiB], rounds: 3 },
  loadThreads: { threads: [1, 8, 16], rounds: 3 },
  loadChunks: { chunkBytes: [MiB, 2 * MiB], rounds: 3 },
  loadCold: { rounds: 3 },
  attach: { samples: 4, repeats: 10, rested: 2, peerConsumers: 3, peerRepeats: 3 },
  attachBytes: { bytes: [2 * MiB, GiB], samples: 3, repeats: 5 },
  attachTensors: { counts: [1, 1000], bytes: 16 * MiB, samples: 3, repeats: 5 },
  attachConcurrent: { workers: [1, 8], bytes: 64 * MiB, rounds: 5 },
  kernelRead: { samples: 10 },
  memory: { workers: [1, 2], readings: 3 },
  refcount: { batches: 5, ledgerOperations: 2000, ownerOperations: 200, pointerReads: 100_000 },
  death: { kills: 4, frees: 3, bytes: 64 * MiB, leakBytes: 256 * MiB, leakRounds: 2 },
  restart: { workers: 2, rounds: 3 },
  start: { samples: 3 },
};

/** Host memory stands in for a GPU's: these sizes fit a laptop. */
const host: Profile = {
  ...gpu,
  set: { bytes: 128 * MiB, tensors: defaultTensors },
  load: { rounds: 7, peerRounds: 3 },
  loadSize: { bytes: [MiB, 16 * MiB, 64 * MiB], rounds: 5 },
  loadThreads: { threads: [1, 2, 4], rounds: 3 },
  loadChunks: { chunkBytes: [256 * KiB, 2 * MiB], rounds: 3 },
  loadCold: { rounds: 3 },
  attach: { samples: 6, repeats: 10, rested: 2, peerConsumers: 3, peerRepeats: 3 },
  attachBytes: { bytes: [2 * MiB, 16 * MiB, 128 * MiB], samples: 3, repeats: 8 },
  attachTensors: { counts: [1, 100, 1000, 10_000], bytes: 16 * MiB, samples: 3, repeats: 8 },
  attachConcurrent: { workers: [1, 4, 16], bytes: 16 * MiB, rounds: 6 },
  kernelRead: { samples: 10 },
  memory: { workers: [1, 2, 4], readings: 3 },
  refcount: { batches: 10, ledgerOperations: 5000, ownerOperations: 300, pointerReads: 200_000 },
  death: { kills: 6, frees: 3, bytes: 16 * MiB, leakBytes: 16 * MiB, leakRounds: 2 },
  restart: { workers: 2, rounds: 3 },
  start: { samples: 3 },
};

const hostQuick: Profile = {
  ...host,
  set: { bytes: 8 * MiB, tensors: 20 },
  load: { rounds: 3, peerRounds: 2 },
  loadSize: { bytes: [MiB, 4 * MiB], rounds: 3 },
  loadThreads: { threads: [1, 2], rounds: 3 },
  loadChunks: { chunkBytes: [256 * KiB, 2 * MiB], rounds: 3 },
  loadCold: { rounds: 3 },
  attach: { samples: 3, repeats: 3, rested: 1, peerConsumers: 2, peerRepeats: 2 },
  attachBytes: { bytes: [2 * MiB, 8 * MiB], samples: 2, repeats: 3 },
  attachTensors: { counts: [1, 100], bytes: 2 * MiB, samples: 2, repeats: 3 },
  attachConcurrent: { workers: [1, 3], bytes: 2 * MiB, rounds: 3 },
  kernelRead: { samples: 3 },
  memory: { workers: [1, 2], readings: 3 },
  refcount: { batches: 3, ledgerOperations: 500, ownerOperations: 50, pointerReads: 10_000 },
  death: { kills: 3, frees: 3, bytes: 2 * MiB, leakBytes: 2 * MiB, leakRounds: 2 },
  restart: { workers: 2, rounds: 3 },
  start: { samples: 3 },
};

export function chooseProfile(driver: "libcuda" | "host", quick: boolean): Profile {
  if (driver === "host") return quick ? hostQuick : host;
  return quick ? gpuQuick : gpu;
}
