import { CudaIpcError } from "../errors.js";
import type { NativeFd, NativeGrants } from "../native.js";
import type { OwnerMessages } from "./messages.js";
import type { SlabInfo, VersionInfo } from "./values.js";

/** What it takes to map a version. Whoever gets it owns the descriptors. */
export interface Mappable {
  readonly version: VersionInfo;
  readonly slabs: readonly SlabInfo[];
  /** One for each `vmm` slab, in their order. */
  readonly fds: readonly NativeFd[];
  /** The manifest file: the list of the tensors, not looked into yet. */
  readonly manifest: NativeFd;
  /** Where its slabs may have been opened already. */
  readonly grants: NativeGrants | undefined;
}

/** Told of what comes ahead of its reply, while the frame is being read. Must not throw. */
export type OnAhead = (ahead: Mappable) => void;

/** The one request of a connection whose memory may come ahead of its reply, and what has come. */
export class AwaitedAhead {
  private came: VersionInfo | undefined;

  constructor(
    readonly request: number,
    private tell: OnAhead | undefined,
  ) {}

  /** Takes it in; throws ERR_CUDA_IPC_PROTOCOL, with the descriptors closed, when there is one already. */
  receive(ahead: Mappable): void {
    if (this.came !== undefined) {
      closeAll(ahead);
      throw violation("The owner sends a second ahead to one request.");
    }
    this.came = ahead.version;
    if (this.tell !== undefined) this.tell(ahead);
    else closeAll(ahead);
  }

  /** The request has been given up: nobody takes what still comes. */
  giveUp(): void {
    this.tell = undefined;
  }

  /** What is wrong with a reply that says that all of it has come ahead. */
  misfitOf({ version, slabs, fds }: OwnerMessages["attached"]): string | undefined {
    if (this.came?.id !== version.id) return "grants another version than was sent ahead";
    if (slabs.length > 0 || fds > 0) return "brings slabs although they were sent ahead";
    return undefined;
  }
}

/** Of what nobody maps. */
export function closeAll({ fds, manifest }: Pick<Mappable, "fds" | "manifest">): void {
  for (const fd of fds) fd.close();
  manifest.close();
}

/** What is wrong with slabs and the number of descriptors that came with them. */
export function slabMisfit(slabs: readonly SlabInfo[], fds: number): string | undefined {
  const vmm = slabs.filter(({ sharing }) => sharing === "vmm");
  if (vmm.length + 1 !== fds) {
    return `describes ${vmm.length} vmm slabs and a manifest, and carries ${fds} descriptors`;
  }
  const wrong = slabs.find(({ sharing, handle }) => (handle === null) !== (sharing === "vmm"));
  return wrong && `describes a slab of ${wrong.sharing} with ${wrong.handle === null ? "no" : "a"} handle`;
}

function violation(message: string): CudaIpcError {
  return new CudaIpcError("ERR_CUDA_IPC_PROTOCOL", message);
}
