/** Any pointer into memory of `cudaMalloc`, in a form that another process can open. */
import { CudaIpcError, invalidArgument } from "../errors.js";
import { native } from "../native.js";
import { abortable } from "./abortable.js";
import {
  type Bytes,
  type CudaOptions,
  checkBytes,
  checkPointer,
  checkString,
  readOptions,
  readSignal,
} from "./check.js";
import { type Handle, toHandle } from "./handle.js";
import { cudaIpcGetMemHandle } from "./ipc.js";
import { cudaPointerGetAttributes } from "./memory.js";
import { Owned } from "./owned.js";

/** What to send to the other process. */
export interface Shareable {
  /** Names the whole allocation. */
  handle: Buffer;
  /** Where the pointer lies in it. */
  offset: number;
  /** How many bytes from there are meant. */
  bytes: number;
  /** The device, by a name that holds in every process. */
  deviceUuid: string;
}

/** Resolves a pointer to its allocation's handle and its offset there. `bytes` defaults to all that follows. */
export async function shareable(
  pointer: bigint,
  options: CudaOptions & { bytes?: Bytes } = {},
): Promise<Shareable> {
  checkPointer("pointer", pointer);
  const { bytes, ...rest } = readOptions(options, ["bytes"]);
  const facts = await cudaPointerGetAttributes(pointer, rest);
  if (facts.type !== "device")
    throw new CudaIpcError(
      "ERR_CUDA_IPC_NOT_EXPORTABLE",
      `Only device memory of cudaMalloc can be shared, and this pointer is of type ${facts.type}`,
    );
  const most = facts.bytes - facts.offset;
  const size = bytes === undefined ? most : checkBytes("bytes", bytes);
  if (size > most)
    throw invalidArgument("bytes", `at most the ${most} bytes from there to the allocation's end`, size);
  const handle = await cudaIpcGetMemHandle(facts.base, { ...rest, device: facts.device });
  return { handle, offset: facts.offset, bytes: size, deviceUuid: facts.deviceUuid };
}

/** A part of another process's allocation, mapped here until disposed. */
export class SharedMemory extends Owned<{ base: bigint; offset: bigint }> {
  readonly bytes: number;
  readonly device: number;

  private constructor(base: bigint, offset: number, bytes: number, device: number) {
    super(
      { base, offset: BigInt(offset) },
      "A SharedMemory",
      "it stays mapped, because its pointer may be in use",
    );
    this.bytes = bytes;
    this.device = device;
  }

  static async open(
    shared: { handle: Handle; offset: Bytes; bytes: Bytes; deviceUuid: string },
    options: { signal?: AbortSignal } = {},
  ): Promise<SharedMemory> {
    const signal = readSignal(options);
    if (typeof shared !== "object" || shared === null)
      throw invalidArgument("shared", "{ handle, offset, bytes, deviceUuid }", shared);
    const handle = toHandle(shared.handle);
    const offset = checkBytes("offset", shared.offset);
    const bytes = checkBytes("bytes", shared.bytes);
    const device = await findDevice(checkString("deviceUuid", shared.deviceUuid));
    return abortable(
      signal,
      async () => {
        const base = await native.ipcOpenMemHandle(device, handle);
        try {
          const { bytes: size } = await native.pointerAttributes(device, base);
          if (offset + bytes > size)
            throw invalidArgument(
              "offset and bytes",
              `a part of the allocation's ${size} bytes`,
              offset + bytes,
            );
          return new SharedMemory(base, offset, bytes, device);
        } catch (error) {
          await native.ipcCloseMemHandle(base);
          throw error;
        }
      },
      (memory) => memory.dispose(),
    );
  }

  get devicePointer(): bigint {
    return this.native.base + this.native.offset;
  }

  /** Unmaps the memory. Work that uses it must be done. */
  dispose(): Promise<void> {
    return this.disposeWith(({ base }) => native.ipcCloseMemHandle(base));
  }
}

export const openShared = SharedMemory.open;

async function findDevice(uuid: string): Promise<number> {
  const device = await native.findDevice(uuid);
  if (device === undefined)
    throw new CudaIpcError(
      "ERR_CUDA_IPC_INVALID_DEVICE",
      `Device ${uuid} is not visible to this process: see that CUDA_VISIBLE_DEVICES and the container let it through`,
    );
  return device;
}
