/** The linear layer on the device: y = W x on weights that are mapped, never copied. */
import {
  builtinModule,
  cudaFree,
  cudaMalloc,
  cudaMemcpyAsync,
  type Kernel,
  Stream,
  type Tensor,
} from "../../lib/index.js";

const kernelOf = new Map<string, string>([
  ["F32", "cuda_ipc_linear_f32"],
  ["F16", "cuda_ipc_linear_f16"],
  ["BF16", "cuda_ipc_linear_bf16"],
]);

/** What one request works in: a stream and device memory of its own. */
interface Slot {
  stream: Stream;
  x: bigint;
  y: bigint;
  previous: bigint;
}

const align = (bytes: number): number => Math.ceil(bytes / 256) * 256;

export class Layer {
  private readonly waiting: ((slot: Slot) => void)[] = [];

  private constructor(
    private readonly weights: Tensor,
    private readonly counter: Tensor,
    private readonly multiply: Kernel,
    private readonly add: Kernel,
    private readonly free: Slot[],
  ) {}

  static async create(weights: Tensor, counter: Tensor, slots: number): Promise<Layer> {
    const { device } = weights;
    const module = await builtinModule(device);
    const multiply = await module.function(kernelOf.get(weights.dtype)!);
    const add = await module.function("cuda_ipc_atomic_add_u64");
    const [outputs, inputs] = weights.shape as [number, number];
    const free: Slot[] = [];
    for (let i = 0; i < slots; i++) {
      const x = await cudaMalloc(align(4 * inputs) + align(4 * outputs) + 8, { device });
      const y = x + BigInt(align(4 * inputs));
      const previous = y + BigInt(align(4 * outputs));
      free.push({ stream: await Stream.create({ device }), x, y, previous });
    }
    return new Layer(weights, counter, multiply, add, free);
  }

  get inputBytes(): number {
    return 4 * this.weights.shape[1]!;
  }

  /** Runs the layer and counts the request, in this order. `previous` is the count from before. */
  async run(input: Uint8Array): Promise<{ output: Buffer; previous: bigint }> {
    const slot = this.free.pop() ?? (await new Promise<Slot>((resolve) => this.waiting.push(resolve)));
    try {
      return await this.runIn(slot, input);
    } finally {
      const next = this.waiting.shift();
      if (next !== undefined) next(slot);
      else this.free.push(slot);
    }
  }

  private async runIn({ stream, x, y, previous }: Slot, input: Uint8Array) {
    const [outputs, inputs] = this.weights.shape as [number, number];
    await cudaMemcpyAsync(x, input, this.inputBytes, { stream });
    this.multiply.launch({
      grid: Math.ceil(outputs / 8), // a warp for each row
      block: 256,
      stream,
      args: [
        { pointer: this.weights.devicePointer },
        { pointer: x },
        { pointer: y },
        { u64: BigInt(inputs) },
        { u64: BigInt(outputs) },
      ],
    });
    this.add.launch({
      grid: 1,
      block: 32,
      stream,
      args: [{ pointer: this.counter.devicePointer }, { u64: 1n }, { pointer: previous }],
    });
    const output = Buffer.allocUnsafe(4 * outputs);
    const count = new BigUint64Array(1);
    await cudaMemcpyAsync(output, y, output.length, { stream });
    await cudaMemcpyAsync(count, previous, 8, { stream });
    return { output, previous: count[0]! };
  }

  /** When no request is running any more. */
  async dispose(): Promise<void> {
    for (const { stream, x } of this.free.splice(0)) {
      await stream.dispose();
      await cudaFree(x, { device: this.weights.device });
    }
  }
}
