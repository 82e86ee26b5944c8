/** The linear layer on the device, y = W x, in buffers that do not depend on the version. */
import {
  builtinModule,
  cudaFree,
  cudaMalloc,
  cudaMemcpyAsync,
  type Kernel,
  Stream,
  type Tensor,
} from "../../../lib/index.js";
import { inputs, outputs } from "../content.js";

interface Slot {
  stream: Stream;
  x: bigint;
  y: bigint;
}

const inputBytes = 4 * inputs;
const outputBytes = 4 * outputs;

export class Linear {
  private readonly waiting: ((slot: Slot) => void)[] = [];

  private constructor(
    private readonly multiply: Kernel,
    private readonly free: Slot[],
  ) {}

  /** Brings CUDA up. */
  static async create(slots: number): Promise<Linear> {
    const module = await builtinModule(0);
    const multiply = await module.function("cuda_ipc_linear_f32");
    const free: Slot[] = [];
    for (let i = 0; i < slots; i++) {
      const x = await cudaMalloc(inputBytes + outputBytes);
      free.push({ stream: await Stream.create(), x, y: x + BigInt(inputBytes) });
    }
    return new Linear(multiply, free);
  }

  async run(weights: Tensor, vector: Float32Array): Promise<Float32Array> {
    const slot = this.free.pop() ?? (await new Promise<Slot>((resolve) => this.waiting.push(resolve)));
    try {
      return await this.runIn(slot, weights, vector);
    } finally {
      const next = this.waiting.shift();
      if (next !== undefined) next(slot);
      else this.free.push(slot);
    }
  }

  /** When nothing runs any more. */
  async dispose(): Promise<void> {
    for (const { stream, x } of this.free.splice(0)) {
      await stream.dispose();
      await cudaFree(x);
    }
  }

  private async runIn({ stream, x, y }: Slot, weights: Tensor, vector: Float32Array): Promise<Float32Array> {
    await cudaMemcpyAsync(x, vector, inputBytes, { stream });
    this.multiply.launch({
      grid: Math.ceil(outputs / 8), // a warp for each row
      block: 256,
      stream,
      args: [
        { pointer: weights.devicePointer },
        { pointer: x },
        { pointer: y },
        { u64: BigInt(inputs) },
        { u64: BigInt(outputs) },
      ],
    });
    const output = new Float32Array(outputs);
    await cudaMemcpyAsync(output, y, outputBytes, { stream });
    return output;
  }
}
