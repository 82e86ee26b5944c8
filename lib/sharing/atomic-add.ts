import { CudaIpcError, invalidArgument } from "../errors.js";
import type { Dtype } from "../formats/dtypes.js";
import { type KernelArgument, type NativeFunction, type NativeModule, native } from "../native.js";

interface AtomicKind {
  readonly kernel: string;
  readonly bytes: number;
  readonly expected: string;
  accepts(value: unknown): boolean;
  argument(value: never): KernelArgument;
  read(bytes: Buffer): number | bigint;
}

const integer = (value: unknown, least: number, most: number) =>
  Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
const long = (value: unknown, least: bigint, most: bigint) =>
  typeof value === "bigint" && value >= least && value <= most;

/** Signed and unsigned addition are the same in two's complement, so one kernel does both. */
const kinds: Partial<Record<Dtype, AtomicKind>> = {
  U32: {
    kernel: "cuda_ipc_atomic_add_u32",
    bytes: 4,
    expected: "an integer of 32 bits, unsigned",
    accepts: (value) => integer(value, 0, 2 ** 32 - 1),
    argument: (value: number) => ({ u32: value }),
    read: (bytes) => bytes.readUInt32LE(),
  },
  I32: {
    kernel: "cuda_ipc_atomic_add_u32",
    bytes: 4,
    expected: "an integer of 32 bits, signed",
    accepts: (value) => integer(value, -(2 ** 31), 2 ** 31 - 1),
    argument: (value: number) => ({ u32: value >>> 0 }),
    read: (bytes) => bytes.readInt32LE(),
  },
  U64: {
    kernel: "cuda_ipc_atomic_add_u64",
    bytes: 8,
    expected: "a bigint of 64 bits, unsigned",
    accepts: (value) => long(value, 0n, 2n ** 64n - 1n),
    argument: (value: bigint) => ({ u64: value }),
    read: (bytes) => bytes.readBigUInt64LE(),
  },
  I64: {
    kernel: "cuda_ipc_atomic_add_u64",
    bytes: 8,
    expected: "a bigint of 64 bits, signed",
    accepts: (value) => long(value, -(2n ** 63n), 2n ** 63n - 1n),
    argument: (value: bigint) => ({ u64: BigInt.asUintN(64, value) }),
    read: (bytes) => bytes.readBigInt64LE(),
  },
  F32: {
    kernel: "cuda_ipc_atomic_add_f32",
    bytes: 4,
    expected: "a number",
    accepts: (value) => typeof value === "number",
    argument: (value: number) => ({ f32: value }),
    read: (bytes) => bytes.readFloatLE(),
  },
};

/** One addition, checked and ready to be launched. */
export interface AtomicAddition {
  readonly kernel: string;
  /** Of one element. */
  readonly bytes: number;
  readonly argument: KernelArgument;
  read(bytes: Buffer): number | bigint;
}

/** Throws ERR_CUDA_IPC_NO_ATOMICS for a dtype without an atomic addition. */
export function atomicAddition(dtype: Dtype, value: unknown): AtomicAddition {
  const kind = kinds[dtype];
  if (kind === undefined) {
    throw new CudaIpcError(
      "ERR_CUDA_IPC_NO_ATOMICS",
      `There is no atomic addition for ${dtype}, only for ${Object.keys(kinds).join(", ")}. Take a lock instead: weights.lock(name).`,
      { details: { dtype } },
    );
  }
  if (!kind.accepts(value)) throw invalidArgument("value", `${kind.expected} (${dtype})`, value);
  const { kernel, bytes, read } = kind;
  return { kernel, bytes, read, argument: kind.argument(value as never) };
}

/** Kernels with their modules, for a module that is collected is unloaded. */
const kernels = new Map<string, Promise<{ module: NativeModule; kernel: NativeFunction }>>();

/** The package's own kernel of that name; its module is loaded once per process and device. */
export async function builtinKernel(device: number, name: string): Promise<NativeFunction> {
  const key = `${device} ${name}`;
  let known = kernels.get(key);
  if (known === undefined) {
    known = loadKernel(device, name);
    // What failed may be tried again.
    known.catch(() => kernels.delete(key));
    kernels.set(key, known);
  }
  return (await known).kernel;
}

async function loadKernel(device: number, name: string) {
  const module = await native.loadBuiltinModule(device);
  return { module, kernel: await module.function(name) };
}
