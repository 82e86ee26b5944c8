import type { JobMessages, LoaderMessages } from "../../dist/lib/wire/loader-messages.js";

const id = "0123456789abcdef0123456789abcdef";
const device = "GPU-8f1c2a34-5b6d-7e8f-9012-3456789abcde";

/** One of each message between an owner and its loader. */
export const loaderExamples: { [K in keyof JobMessages]: JobMessages[K] } & {
  [K in keyof LoaderMessages]: LoaderMessages[K];
} = {
  load: {
    type: "load",
    fds: 1,
    sources: ["/models/llm/model.safetensors", null],
    slabs: [
      {
        device: 0,
        bytes: 1024,
        runs: [{ source: 1, offset: 256, bytes: 300, target: 0 }],
        gaps: [[300, 724]],
      },
    ],
    threads: 4,
  },
  verify: { type: "verify", fds: 1, slabs: [{ id, device, bytes: 2_097_152, contentBytes: 1024 }] },
  progress: { type: "progress", fds: 0, bytes: 131_072, rate: 5.5e10 },
  loaded: { type: "loaded", fds: 1, slabs: [{ id, device, bytes: 2_097_152, checksum: id }] },
  verified: { type: "verified", fds: 0, checksums: [id] },
  failed: {
    type: "failed",
    fds: 0,
    code: "ERR_CUDA_IPC_OUT_OF_MEMORY",
    message: "cuMemCreate failed.",
    details: { neededBytes: 2_097_152, freeBytes: 0 },
    call: "cuMemCreate",
    errno: 12,
    cudaResult: 2,
    cudaName: "CUDA_ERROR_OUT_OF_MEMORY",
  },
};
