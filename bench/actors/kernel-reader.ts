/** Reads mapped memory and memory of its own with one kernel, timed by events on the device. */
import {
  attach,
  builtinModule,
  cudaEventCreate,
  cudaEventElapsedTime,
  cudaEventRecord,
  cudaEventSynchronize,
  cudaFree,
  cudaGetDeviceProperties,
  cudaMalloc,
  cudaMemcpy,
  cudaMemGetInfo,
  cudaMemset,
} from "../../lib/index.js";
import { serve } from "../common/serve.js";

export interface KernelReads {
  /** Bytes that each launch reads. */
  bytes: number;
  /** Milliseconds between the events around each launch. */
  mapped: number[];
  own: number[];
}

const commands = {
  async initialize(device: number): Promise<void> {
    await cudaMemGetInfo({ device });
  },
  async read(name: string, socket: string, device: number, samples: number): Promise<KernelReads> {
    await using weights = await attach(name, { socket });
    // All of the first slab: tensors lie behind one another from its start.
    const pointers = [...weights.tensors()].map((tensor) => tensor.devicePointer);
    const mapped = pointers.reduce((a, b) => (a < b ? a : b));
    const bytes = weights.bytes;
    const own = await cudaMalloc(bytes, { device });
    const sums = await cudaMalloc(16, { device });
    const kernel = await (await builtinModule(device)).function("cuda_ipc_checksum");
    const { multiprocessors } = await cudaGetDeviceProperties({ device });
    const [start, end] = [
      await cudaEventCreate({ device, timing: true }),
      await cudaEventCreate({ device, timing: true }),
    ];
    try {
      // The same bytes on both sides, so that the memory itself cannot tell them apart.
      await cudaMemcpy(own, mapped, bytes, { device });
      await cudaMemset(sums, 0, 16, { device });
      const time = async (pointer: bigint): Promise<number> => {
        cudaEventRecord(start);
        kernel.launch({
          grid: 8 * multiprocessors,
          block: 256,
          args: [{ pointer }, { u64: BigInt(bytes) }, { u64: 0n }, { pointer: sums }],
        });
        cudaEventRecord(end);
        await cudaEventSynchronize(end);
        return cudaEventElapsedTime(start, end);
      };
      const result: KernelReads = { bytes, mapped: [], own: [] };
      for (const pointer of [mapped, own]) for (let i = 0; i < 3; i++) await time(pointer);
      for (let round = 0; round < samples; round++) {
        const sides = [
          async () => result.mapped.push(await time(mapped)),
          async () => result.own.push(await time(own)),
        ];
        for (const side of round % 2 === 0 ? sides : sides.reverse()) await side();
      }
      return result;
    } finally {
      await start.dispose();
      await end.dispose();
      await cudaFree(sums, { device });
      await cudaFree(own, { device });
    }
  },
};

export type KernelReaderCommands = typeof commands;

serve(commands);
