// Owners and workers for the tests of the sharing layer. Importing this brings the check that nothing is left.
import { randomBytes } from "node:crypto";
import path from "node:path";
import { Owner, type OwnerOptions, writeSafetensors } from "../../dist/lib/index.js";
import { type Child, startChild } from "./child.js";
import { watchOwner } from "./leaks.js";
import { newSocket, temporaryFolder } from "./temporary.js";

export const MIB = 1 << 20;
export const sharings = ["vmm", "ipc"] as const;
export const fixtures = path.join(__dirname, "../fixtures");
export const folder = temporaryFolder();

/** An owner in this process, closed when the test is over, and looked at for leases that are left. */
export async function startOwner(options: OwnerOptions = {}): Promise<Owner> {
  return watchOwner(await Owner.listen({ socket: newSocket(folder), ...options }));
}

/** A worker process that has CUDA up. */
export async function startWorker(env: NodeJS.ProcessEnv = {}): Promise<Child> {
  const worker = startChild("worker.cjs", env);
  await worker.call("warmUp");
  return worker;
}

/** Tensors from memory, some of each kind. `seed`: other bytes, in the same shapes. */
export function someTensors(seed = 1) {
  return {
    floats: Float32Array.from({ length: 1000 }, (_, i) => i * seed),
    bytes: Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 7 + seed) & 255)),
  };
}

/** As many bytes as asked for, in one tensor. */
export function block(bytes: number, value = 1) {
  return { block: new Uint8Array(bytes).fill(value) };
}

/** A safetensors file of its own with so many bytes in one tensor. */
export async function modelFile(bytes: number): Promise<string> {
  const file = path.join(folder, `${randomBytes(4).toString("hex")}.safetensors`);
  await writeSafetensors(file, [
    { name: "block", dtype: "U8", shape: [bytes], data: new Uint8Array(bytes).fill(3) },
  ]);
  return file;
}
