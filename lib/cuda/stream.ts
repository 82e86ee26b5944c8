import { invalidArgument } from "../errors.js";
import { type NativeStream, native } from "../native.js";
import { abortable } from "./abortable.js";
import { type CudaOptions, checkBoolean, readOptions, readSignal } from "./check.js";
import { checkEvent, type Event } from "./event.js";
import { Owned } from "./owned.js";

export interface StreamOptions extends CudaOptions {
  /** Whether its work runs beside the legacy default stream's, not in turn with it; default true. */
  nonBlocking?: boolean;
}

/** Work on a device that runs in order. */
export class Stream extends Owned<NativeStream> {
  /** The `CUstream`, for other native code; valid until disposed. */
  readonly handle: bigint;
  readonly device: number;

  private constructor(stream: NativeStream) {
    super(stream, "A Stream");
    this.handle = stream.handle;
    this.device = stream.device;
  }

  static async create(options: StreamOptions = {}): Promise<Stream> {
    const { device, signal, nonBlocking = true } = readOptions(options, ["nonBlocking"]);
    checkBoolean("nonBlocking", nonBlocking);
    return abortable(
      signal,
      async () => new Stream(await native.createStream(device, nonBlocking)),
      (stream) => stream.dispose(),
    );
  }

  /** Waits for all work in the stream; rejects when some of it has failed. */
  async synchronize(options: { signal?: AbortSignal } = {}): Promise<void> {
    await abortable(readSignal(options), () => this.native.synchronize());
  }

  /** Whether all work in the stream is done. */
  query(): boolean {
    return this.native.query();
  }

  /** Makes work enqueued from here on wait for what the event was last recorded after. */
  waitEvent(event: Event): void {
    this.native.waitEvent(checkEvent(event).native);
  }

  /** Destroys the stream; what is in it still runs to its end. */
  dispose(): Promise<void> {
    return this.disposeWith((stream) => stream.destroy());
  }
}

export function checkStream(stream: unknown): Stream {
  if (!(stream instanceof Stream)) throw invalidArgument("stream", "a Stream", stream);
  return stream;
}

export const cudaStreamCreate = (options?: StreamOptions): Promise<Stream> => Stream.create(options);
export const cudaStreamSynchronize = async (stream: Stream): Promise<void> =>
  checkStream(stream).synchronize();
export const cudaStreamQuery = (stream: Stream): boolean => checkStream(stream).query();
export const cudaStreamWaitEvent = (stream: Stream, event: Event): void =>
  checkStream(stream).waitEvent(event);
export const cudaStreamDestroy = async (stream: Stream): Promise<void> => checkStream(stream).dispose();
