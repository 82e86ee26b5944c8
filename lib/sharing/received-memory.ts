import { CudaIpcError } from "../errors.js";
import { closeSlab } from "../loading/owned-slab.js";
import type { NativeFd } from "../native.js";
import type { TensorColumns } from "../wire/values.js";
import type { VersionMemory } from "./catalog.js";
import { checkManifest } from "./manifest.js";
import { manifestDigest } from "./manifest-digest.js";
import type { StoredState } from "./stored-state.js";

/**
 * The memory of versions that another owner has sent, by version. What is not handed on is closed with `drop`.
 * It comes over the owner's own connection, from a process of the same user, and so its content is taken as it is;
 * that it fits what the state says of the version is checked.
 */
export class ReceivedMemory {
  private readonly versions = new Map<string, VersionMemory>();

  get size(): number {
    return this.versions.size;
  }

  ids(): string[] {
    return [...this.versions.keys()];
  }

  get(version: string): VersionMemory | undefined {
    return this.versions.get(version);
  }

  /** Takes the descriptors over. False, and they are closed, when the version has gone meanwhile. */
  add(
    state: StoredState,
    memory: { version: string; tensors: TensorColumns },
    fds: readonly NativeFd[],
  ): boolean {
    const stored = state.versions.get(memory.version);
    try {
      if (stored === undefined || stored.state === "released" || this.versions.has(memory.version)) {
        for (const fd of fds) fd.close();
        return false;
      }
      const tensors = [...checkManifest(memory.tensors, stored.slabs).values()];
      if (fds.length !== stored.slabs.length || manifestDigest(tensors) !== stored.manifest) {
        throw new CudaIpcError(
          "ERR_CUDA_IPC_PROTOCOL",
          `The memory that the owner sent for version ${memory.version} is not what its state says.`,
        );
      }
      const slabs = stored.slabs.map((slab, index) => ({
        ...slab,
        sharing: "vmm" as const,
        fd: fds[index]!,
      }));
      this.versions.set(memory.version, { slabs, tensors });
      return true;
    } catch (error) {
      for (const fd of fds) fd.close();
      throw error;
    }
  }

  /** Closes what is held of a version; resolves when it is closed. Undefined when there was nothing. */
  drop(version: string): Promise<unknown> | undefined {
    const memory = this.versions.get(version);
    if (memory === undefined) return undefined;
    this.versions.delete(version);
    return Promise.all(memory.slabs.map(closeSlab));
  }

  dropAll(): Promise<unknown> {
    return Promise.all(this.ids().map((version) => this.drop(version)));
  }

  /** The memory of these versions has another owner from here on, and of all others it is closed. */
  handOn(versions: Iterable<string>): void {
    for (const version of versions) this.versions.delete(version);
    void this.dropAll();
  }
}
