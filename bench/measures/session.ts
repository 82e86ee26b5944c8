/** What most measures begin with: an owner of their own, and what the device can do. */
import path from "node:path";
import { cudaGetDeviceProperties, type OwnerOptions } from "../../lib/index.js";
import type { OwnerCommands } from "../actors/owner.js";
import { Child } from "../common/child.js";
import type { Bench } from "../suite/bench.js";

export const actor = (name: string): string => path.join(__dirname, "..", "actors", `${name}.js`);

export type Sharing = "vmm" | "ipc";

/** Both kinds, but for what the device cannot do. */
export async function sharings(bench: Bench): Promise<Sharing[]> {
  const { vmm } = await cudaGetDeviceProperties({ device: bench.device });
  if (!vmm)
    bench.note("The device cannot share virtual-memory-management allocations: vmm was not measured.");
  return vmm ? ["vmm", "ipc"] : ["ipc"];
}

export interface Session {
  owner: Child<OwnerCommands>;
  socket: string;
}

/**
 * An owner that listens, in a process of its own, for as long as `use` takes. One that loads "inline" has CUDA up; any
 * other has as little of CUDA as what it publishes asks for.
 */
export async function withOwner(
  bench: Bench,
  use: (session: Session) => Promise<void>,
  options: OwnerOptions = {},
): Promise<void> {
  const owner = new Child<OwnerCommands>(actor("owner"));
  const socket = path.join(bench.scratch, "owner.sock");
  try {
    await owner.call("listen", socket, options);
    if (options.loading === "inline") await owner.call("initialize", bench.device);
    await use({ owner, socket });
    await owner.call("close");
    await owner.end();
  } finally {
    owner.kill();
  }
}

export const gigabytesPerSecond = (bytes: number, seconds: number): number => bytes / seconds / 1e9;
