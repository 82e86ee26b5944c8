/** What everybody does without sharing: a process with a copy of the weights of its own. */
import { layoutSlab } from "../../lib/formats/layout.js";
import { cudaMemGetInfo, openCheckpoint } from "../../lib/index.js";
import { native } from "../../lib/native.js";
import { serve } from "../common/serve.js";

const commands = {
  async initialize(device: number): Promise<void> {
    await cudaMemGetInfo({ device });
  },
  /** Loads the file into memory that nobody else knows of, and keeps it until the process ends. */
  async load(file: string, device: number): Promise<number> {
    const checkpoint = await openCheckpoint(file);
    const { bytes, runs } = layoutSlab(checkpoint.tensors.values());
    const base = await native.memAlloc(device, bytes);
    await native.load({ device, base, sources: checkpoint.files.map(({ path }) => path), runs });
    return bytes;
  },
};

export type SeparateCommands = typeof commands;

serve(commands);
