/**
 * An object that owns something on a device. `dispose()` lets it go; so does leaving an `await using` block, and
 * in the end garbage collection, which warns, because it comes at a time of its own choosing.
 */
import { CudaIpcError } from "../errors.js";

const collected = new FinalizationRegistry<string>((message) => {
  process.emitWarning(message, { type: "CudaIpcWarning", code: "CUDA_IPC_COLLECTED" });
});

export abstract class Owned<Native extends object> implements AsyncDisposable {
  #native: Native | undefined;
  #disposal: Promise<void> | undefined;

  /** `what` this is, for the warning; undefined when there is nothing to let go of. */
  protected constructor(native: Native, what: string | undefined, fate = "it was let go of only now") {
    this.#native = native;
    if (what !== undefined)
      collected.register(this, `${what} was collected without dispose(): ${fate}`, this);
  }

  get disposed(): boolean {
    return this.#native === undefined;
  }

  /** The addon's object. Throws ERR_CUDA_IPC_CLOSED when disposed. */
  get native(): Native {
    if (this.#native === undefined)
      throw new CudaIpcError(
        "ERR_CUDA_IPC_CLOSED",
        `This ${this.constructor.name} has been disposed already`,
      );
    return this.#native;
  }

  /** Lets go; harmless when done already: the first call's promise is returned. */
  protected disposeWith(letGo: (native: Native) => Promise<void>): Promise<void> {
    if (this.#disposal === undefined) {
      const native = this.native;
      this.#native = undefined;
      collected.unregister(this);
      this.#disposal = letGo(native);
    }
    return this.#disposal;
  }

  abstract dispose(): Promise<void>;

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
