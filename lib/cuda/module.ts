import { checkOptions, invalidArgument, optionNames } from "../errors.js";
import { type KernelArgument, type NativeFunction, type NativeModule, native } from "../native.js";
import { abortable } from "./abortable.js";
import { bytesOf, checkDevice, checkInteger, checkString, readSignal } from "./check.js";
import { Owned } from "./owned.js";
import { checkStream, type Stream } from "./stream.js";

/** One, two or three extents; the rest are 1. */
export type Extent = number | readonly [x: number, y?: number, z?: number];

export interface LaunchOptions {
  /** Blocks per grid. */
  grid: Extent;
  /** Threads per block. */
  block: Extent;
  /** Dynamic shared memory per block, in bytes; default 0. */
  sharedBytes?: number;
  /** Default: the legacy default stream. */
  stream?: Stream;
  /** The kernel's parameters in order, each with its type. CUDA cannot check them against the kernel's. */
  args?: readonly KernelArgument[];
}

const launchOptions = optionNames<LaunchOptions>({
  grid: true,
  block: true,
  sharedBytes: true,
  stream: true,
  args: true,
});

/** Compiled kernels, loaded into a device. */
export class Module extends Owned<NativeModule> {
  readonly device: number;

  private constructor(module: NativeModule, what: string | undefined) {
    super(module, what);
    this.device = module.device;
  }

  /** Loads PTX text, a cubin or a fatbin. PTX is compiled here by the driver, which can take a while. */
  static async load(
    device: number,
    image: string | ArrayBufferView,
    options: { signal?: AbortSignal } = {},
  ): Promise<Module> {
    checkDevice(device);
    const signal = readSignal(options);
    if (typeof image !== "string" && !ArrayBuffer.isView(image))
      throw invalidArgument("image", "PTX as a string, or a Buffer", image);
    const bytes = typeof image === "string" ? Buffer.from(image) : bytesOf(image);
    return adopt(signal, () => native.loadModule(device, bytes), "A Module");
  }

  /** @internal */
  static from(module: NativeModule, what?: string): Module {
    return new Module(module, what);
  }

  /** A kernel of the module, by its name there. */
  async function(name: string): Promise<Kernel> {
    return Kernel.from(await this.native.function(checkString("name", name)), name, this);
  }

  /** Unloads the module; its kernels cannot be launched any more. Work that uses it must be done. */
  dispose(): Promise<void> {
    return this.disposeWith((module) => module.unload());
  }
}

function adopt(
  signal: AbortSignal | undefined,
  load: () => Promise<NativeModule>,
  what?: string,
): Promise<Module> {
  return abortable(
    signal,
    async () => Module.from(await load(), what),
    (module) => module.dispose(),
  );
}

/** The kernels that come with this package; see docs/raw-api.md. Loaded once per process, whoever asks. */
export async function builtinModule(device = 0, options: { signal?: AbortSignal } = {}): Promise<Module> {
  checkDevice(device);
  return adopt(readSignal(options), () => native.loadBuiltinModule(device));
}

/** A function that runs on the device. It lives as long as its module, which it keeps from being collected. */
export class Kernel {
  readonly #native: NativeFunction;

  private constructor(
    kernel: NativeFunction,
    readonly name: string,
    readonly module: Module,
  ) {
    this.#native = kernel;
  }

  /** @internal */
  static from(kernel: NativeFunction, name: string, module: Module): Kernel {
    return new Kernel(kernel, name, module);
  }

  /** Enqueues one launch and returns. Whether it succeeds shows at the next synchronize. */
  launch(options: LaunchOptions): void {
    checkOptions(options, launchOptions);
    const { grid, block, sharedBytes = 0, stream, args = [] } = options;
    const [gridX, gridY, gridZ] = extents("grid", grid);
    const [blockX, blockY, blockZ] = extents("block", block);
    checkInteger("sharedBytes", sharedBytes, 0, 0x7fffffff);
    const order = stream === undefined ? undefined : checkStream(stream).native;
    this.#native.launch(gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes, order, args);
  }
}

function extents(name: string, extent: Extent): [number, number, number] {
  const [x, y = 1, z = 1] =
    typeof extent === "number" ? [extent] : Array.isArray(extent) ? extent : [undefined];
  return [
    checkInteger(`${name}.x`, x, 1, 0x7fffffff),
    checkInteger(`${name}.y`, y, 1, 0x7fffffff),
    checkInteger(`${name}.z`, z, 1, 0x7fffffff),
  ];
}

export const cuLaunchKernel = (kernel: Kernel, options: LaunchOptions): void => kernel.launch(options);
