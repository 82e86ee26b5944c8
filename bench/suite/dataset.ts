/** The models that measures load: written once, used by all. */
import { existsSync } from "node:fs";
import { mkdtemp, open, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { plannedBytes, planTensors, writeModel } from "../attach/model.js";
import type { Bench } from "./bench.js";

export interface Dataset {
  path: string;
  /** Of all tensors together. */
  bytes: number;
  /** Of the first tensor's first byte in the file. */
  offset: number;
}

/** Random bytes in the shape of the set. Freshly written, so in the page cache until something drops it. */
export async function dataset(bench: Bench, bytes: number, tensors: number): Promise<Dataset> {
  const plan = planTensors(bytes, tensors);
  const file = path.join(bench.shared, `model-${bytes}-${tensors}.safetensors`);
  if (!existsSync(file)) {
    bench.step(`writing ${(bytes / 1e9).toFixed(2)} GB`);
    const folder = await mkdtemp(path.join(bench.scratch, "write-"));
    await writeModel(path.join(folder, "model"), plan);
    await rename(path.join(folder, "model"), file);
    await rm(folder, { recursive: true });
  }
  const total = plannedBytes(plan);
  return { path: file, bytes: total, offset: (await stat(file)).size - total };
}

/** The set that most measures are about. */
export const mainSet = (bench: Bench): Promise<Dataset> =>
  dataset(bench, bench.profile.set.bytes, bench.profile.set.tensors);

/** Tensors of zeros, in a file that takes no space on the disk: for measures whose content does not matter. */
export async function sparseDataset(bench: Bench, bytes: number, tensors: number): Promise<Dataset> {
  const file = path.join(bench.scratch, `sparse-${bytes}-${tensors}.safetensors`);
  const plan = planTensors(bytes, tensors);
  let offset = 0;
  const entries = plan.map(({ name, elements }) => {
    const begin = offset;
    offset += 2 * elements;
    return [name, { dtype: "BF16", shape: [elements / 128, 128], data_offsets: [begin, offset] }];
  });
  let header = JSON.stringify(Object.fromEntries(entries));
  header += " ".repeat(-(8 + header.length) & 7);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const handle = await open(file, "w");
  try {
    await handle.write(Buffer.concat([length, Buffer.from(header)]));
    await handle.truncate(8 + header.length + offset);
  } finally {
    await handle.close();
  }
  return { path: file, bytes: offset, offset: 8 + header.length };
}
