/** Streams one file into device memory that is there already, again and again: the copying alone. */
import { layoutSlab } from "../../lib/formats/layout.js";
import { cudaMemGetInfo, openCheckpoint } from "../../lib/index.js";
import { native } from "../../lib/native.js";
import { millisecondsBetween, now } from "../common/clock.js";
import { serve } from "../common/serve.js";

let base: bigint;
let sources: string[];
let layout: ReturnType<typeof layoutSlab>;

const commands = {
  async open(file: string, device: number): Promise<void> {
    await cudaMemGetInfo({ device });
    const checkpoint = await openCheckpoint(file);
    layout = layoutSlab(checkpoint.tensors.values());
    sources = checkpoint.files.map(({ path }) => path);
    base = await native.memAlloc(device, layout.bytes);
  },
  /** `callSeconds`: from the call to the promise's resolution. */
  async stream(device: number, options: { threads?: number; chunkBytes?: number; checksum?: boolean }) {
    const { checksum, ...rest } = options;
    const checksumBytes = checksum ? layout.bytes : undefined;
    const before = now();
    const loaded = await native.load({ ...rest, device, base, sources, runs: layout.runs, checksumBytes });
    return { ...loaded, callSeconds: millisecondsBetween(before, now()) / 1e3 };
  },
  /** A pass of its own over all of the memory: seconds. */
  async checksum(device: number): Promise<number> {
    const before = now();
    await native.checksum(device, base, layout.bytes);
    return millisecondsBetween(before, now()) / 1e3;
  },
};

export type StreamerCommands = typeof commands;

serve(commands);
