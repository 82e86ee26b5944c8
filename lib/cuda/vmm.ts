import { checkOptions, invalidArgument } from "../errors.js";
import { type Access, type NativeFd, type NativeVmm, native } from "../native.js";
import { abortable } from "./abortable.js";
import { type Bytes, type CudaOptions, checkBytes, readOptions } from "./check.js";
import { Event } from "./event.js";
import { Owned } from "./owned.js";
import { Stream } from "./stream.js";

/**
 * Device memory that is shared as a file descriptor (cuMemCreate and what belongs to it): the allocation, its
 * address and its mapping in one object, undone together and in order.
 */
export class VmmAllocation extends Owned<NativeVmm> {
  readonly device: number;
  /** A multiple of 2 MiB and of the device's granularity. */
  readonly bytes: number;

  private constructor(vmm: NativeVmm) {
    super(vmm, `A VmmAllocation of ${vmm.bytes} bytes`);
    this.device = vmm.device;
    this.bytes = vmm.bytes;
  }

  /** Allocates at least that much, with no address yet. */
  static async create(bytes: Bytes, options: CudaOptions = {}): Promise<VmmAllocation> {
    const size = checkBytes("bytes", bytes, 1);
    const { device, signal } = readOptions(options);
    return adopt(signal, () => native.createVmm(device, size));
  }

  /** Takes what `export` gave, here or in another process. `bytes` is the allocation's size; the fd stays yours. */
  static async import(fd: NativeFd, bytes: Bytes, options: CudaOptions = {}): Promise<VmmAllocation> {
    const size = checkBytes("bytes", bytes, 1);
    const { device, signal } = readOptions(options);
    return adopt(signal, () => native.importVmm(device, fd, size));
  }

  /** @internal */
  static from(vmm: NativeVmm): VmmAllocation {
    return new VmmAllocation(vmm);
  }

  /** A new file descriptor that keeps the memory alive by itself, in whichever process it lies. */
  export(): NativeFd {
    return this.native.exportFd();
  }

  /** Where the memory is mapped in this process; 0n before `map()` and after disposal. */
  get devicePointer(): bigint {
    return this.disposed ? 0n : this.native.devicePointer;
  }

  /** Gives the memory an address; once. With "read", the device refuses this process's writes. */
  async map(access: Access = "readwrite"): Promise<bigint> {
    return this.native.map(checkAccess(access));
  }

  async setAccess(access: Access): Promise<void> {
    await this.native.setAccess(checkAccess(access));
  }

  /**
   * Waits for `after` (default: all of this process's work on the device; null: nothing), then unmaps and lets
   * go. The memory itself lives on in descriptors and in other mappings.
   */
  dispose(options: { after?: Stream | Event | null } = {}): Promise<void> {
    try {
      checkOptions(options, ["after"]);
    } catch (error) {
      return Promise.reject(error);
    }
    const { after } = options;
    if (after !== undefined && after !== null && !(after instanceof Stream) && !(after instanceof Event))
      return Promise.reject(invalidArgument("after", "a Stream, an Event or null", after));
    return this.disposeWith((vmm) => vmm.close(after === null ? null : after?.native));
  }
}

function adopt(signal: AbortSignal | undefined, make: () => Promise<NativeVmm>): Promise<VmmAllocation> {
  return abortable(
    signal,
    async () => VmmAllocation.from(await make()),
    (vmm) => vmm.dispose(),
  );
}

function checkAccess(access: unknown): Access {
  if (access !== "read" && access !== "readwrite")
    throw invalidArgument("access", '"read" or "readwrite"', access);
  return access;
}
