import { type InspectOptionsStylized, inspect } from "node:util";
import { CudaIpcError, invalidArgument } from "../errors.js";
import { type Dtype, type HostArray, hostArray } from "../formats/dtypes.js";
import type { TensorEntry } from "../loading/plan.js";
import { native } from "../native.js";
import type { Attachment } from "./attachment.js";
import { later } from "./later.js";
import type { Weights } from "./weights.js";

/** A named view into the device memory of a weight set. Holds its Weights, and so the lease, alive. */
export class Tensor {
  readonly name: string;
  readonly dtype: Dtype;
  /** Sizes of the dimensions, outermost first; empty for a scalar. Contiguous, in row-major order. */
  readonly shape: readonly number[];
  readonly bytes: number;
  /** The device's ordinal in this process. */
  readonly device: number;
  private readonly address: bigint;

  /** @internal */
  constructor(
    /** The weights this tensor belongs to. */
    readonly weights: Weights,
    private readonly attachment: Attachment,
    entry: TensorEntry,
  ) {
    const slab = attachment.slabs[entry.slab]!;
    this.name = entry.name;
    this.dtype = entry.dtype;
    this.shape = Object.freeze(entry.shape);
    this.bytes = entry.bytes;
    this.device = slab.device;
    this.address = slab.pointer + BigInt(entry.offset);
  }

  /**
   * The device address of the first element, 256-byte aligned, ready for a kernel launch or another addon. Valid
   * until `weights.release()`; whoever reads it must release explicitly: weights that are collected unreleased
   * after a pointer has left keep their lease until the process ends. Throws ERR_CUDA_IPC_RELEASED after release.
   */
  get devicePointer(): bigint {
    this.attachment.assertHeld();
    this.attachment.exposed = true;
    return this.address;
  }

  /** The tensor's bytes, copied to the host. */
  toBuffer(): Promise<Buffer> {
    return this.attachment.use(async () => {
      const target = Buffer.from(new ArrayBuffer(this.bytes));
      if (this.bytes > 0) await native.memcpyDtoH(this.device, target, this.address);
      return target;
    });
  }

  /**
   * A copy on the host, as the typed array of the dtype: F32 gives a Float32Array; BF16 and F16 their raw bits in a
   * Uint16Array; C64 pairs of floats; 8-bit floats and sub-byte dtypes their raw bytes.
   */
  async toHost(): Promise<HostArray> {
    return hostArray(this.dtype, await this.toBuffer());
  }

  /**
   * Overwrites the tensor from host memory of exactly its size. Only weights attached with `access: "readwrite"`
   * to a writable version can be written: ERR_CUDA_IPC_READ_ONLY otherwise.
   */
  async write(data: ArrayBufferView): Promise<void> {
    if (!ArrayBuffer.isView(data)) {
      throw invalidArgument("data", `a typed array or Buffer of ${this.bytes} bytes`, data);
    }
    if (data.byteLength !== this.bytes) {
      throw invalidArgument("data.byteLength", `${this.bytes}, the tensor's bytes,`, data.byteLength);
    }
    this.assertWritable();
    const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return this.attachment.use(async () => {
      if (this.bytes > 0) await native.memcpyHtoD(this.device, this.address, source);
    });
  }

  /**
   * Adds to one element (in row-major order), as one atomic operation for every process that has the memory mapped, and
   * resolves with the value from before: a number, or a bigint for 64 bits. Integers wrap around. For U32, I32, U64,
   * I64 and F32; other dtypes are refused with ERR_CUDA_IPC_NO_ATOMICS. Needs write access like `write`.
   */
  async atomicAdd(index: number, value: number | bigint): Promise<number | bigint> {
    const { atomicAddition, builtinKernel } = later.atomicAdd();
    const { kernel, bytes, argument, read } = atomicAddition(this.dtype, value);
    later.check().checkInteger("index", index, 0, this.bytes / bytes - 1);
    this.assertWritable();
    return this.attachment.use(async () => {
      const add = await builtinKernel(this.device, kernel);
      return later.scratch().withScratch(this.attachment, this.device, async (previous) => {
        const target = { pointer: this.address + BigInt(index * bytes) };
        add.launch(1, 1, 1, 32, 1, 1, 0, undefined, [target, argument, { pointer: previous }]);
        const before = Buffer.from(new ArrayBuffer(bytes));
        // In the order of the default stream: after the kernel.
        await native.memcpyDtoH(this.device, before, previous);
        return read(before);
      });
    });
  }

  private assertWritable(): void {
    if (this.weights.access === "readwrite") return;
    throw new CudaIpcError(
      "ERR_CUDA_IPC_READ_ONLY",
      `Tensor ${JSON.stringify(this.name)} is mapped read-only. Publish the version with { writable: true } and ` +
        'attach with { access: "readwrite" } to write it.',
    );
  }

  /** The 128-bit checksum of the tensor's bytes, computed on the device: 32 hex characters. */
  checksum(): Promise<string> {
    return this.attachment.use(async () =>
      (await native.checksum(this.device, this.address, this.bytes)).toString("hex"),
    );
  }

  /** @internal */
  [inspect.custom](depth: number | null, options: InspectOptionsStylized): string {
    const { name, dtype, shape, bytes, device } = this;
    return later.summary().summary("Tensor", { name, dtype, shape, bytes, device }, depth, options);
  }
}
