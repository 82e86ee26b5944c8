import { invalidArgument } from "../errors.js";
import { type NativeEvent, native } from "../native.js";
import { abortable } from "./abortable.js";
import { type CudaOptions, checkBoolean, readOptions, readSignal } from "./check.js";
import { type Handle, toHandle } from "./handle.js";
import { Owned } from "./owned.js";
import { checkStream, type Stream } from "./stream.js";

export interface EventOptions extends CudaOptions {
  /** Whether other processes may open it; CUDA allows no timing then. Default false. */
  interprocess?: boolean;
  /** Whether `elapsedTime` works; default: unless interprocess. */
  timing?: boolean;
  /** Whether waiting sleeps, or spins on a core for a few microseconds' gain; default true, unlike CUDA's. */
  blockingSync?: boolean;
}

/** A point in a stream's work. */
export class Event extends Owned<NativeEvent> {
  /** The `CUevent`, for other native code; valid until disposed. */
  readonly handle: bigint;
  readonly device: number;

  private constructor(event: NativeEvent) {
    super(event, "An Event");
    this.handle = event.handle;
    this.device = event.device;
  }

  static async create(options: EventOptions = {}): Promise<Event> {
    const {
      device,
      signal,
      interprocess = false,
      timing = !interprocess,
      blockingSync = true,
    } = readOptions(options, ["interprocess", "timing", "blockingSync"]);
    checkBoolean("interprocess", interprocess);
    checkBoolean("blockingSync", blockingSync);
    if (checkBoolean("timing", timing) && interprocess)
      throw invalidArgument("timing", "false when interprocess is true", timing);
    return adopt(signal, () => native.createEvent(device, { interprocess, timing, blockingSync }));
  }

  /** Opens an event of another process. */
  static async open(handle: Handle, options: CudaOptions = {}): Promise<Event> {
    const { device, signal } = readOptions(options);
    const bytes = toHandle(handle);
    return adopt(signal, () => native.ipcOpenEventHandle(device, bytes));
  }

  /** @internal */
  static from(event: NativeEvent): Event {
    return new Event(event);
  }

  /** Moves the event to after everything enqueued so far in the stream; default: the legacy default stream. */
  record(stream?: Stream): void {
    this.native.record(stream === undefined ? undefined : checkStream(stream).native);
  }

  /** Whether the work that it was last recorded after is done. */
  query(): boolean {
    return this.native.query();
  }

  /** Waits for that work. */
  async synchronize(options: { signal?: AbortSignal } = {}): Promise<void> {
    await abortable(readSignal(options), () => this.native.synchronize());
  }

  /** Milliseconds from another event, recorded before, to this one. Both must be done. */
  elapsedTime(since: Event): number {
    return native.eventElapsedTime(checkEvent(since).native, this.native);
  }

  /** The 64 bytes by which another process opens this event. */
  ipcHandle(): Buffer {
    return this.native.ipcHandle();
  }

  dispose(): Promise<void> {
    return this.disposeWith((event) => event.destroy());
  }
}

function adopt(signal: AbortSignal | undefined, make: () => Promise<NativeEvent>): Promise<Event> {
  return abortable(
    signal,
    async () => Event.from(await make()),
    (event) => event.dispose(),
  );
}

export function checkEvent(event: unknown): Event {
  if (!(event instanceof Event)) throw invalidArgument("event", "an Event", event);
  return event;
}

export const cudaEventCreate = (options?: EventOptions): Promise<Event> => Event.create(options);
export const cudaEventRecord = (event: Event, stream?: Stream): void => checkEvent(event).record(stream);
export const cudaEventQuery = (event: Event): boolean => checkEvent(event).query();
export const cudaEventSynchronize = async (event: Event): Promise<void> => checkEvent(event).synchronize();
export const cudaEventElapsedTime = (start: Event, end: Event): number => checkEvent(end).elapsedTime(start);
export const cudaEventDestroy = async (event: Event): Promise<void> => checkEvent(event).dispose();
export const cudaIpcGetEventHandle = (event: Event): Buffer => checkEvent(event).ipcHandle();
export const cudaIpcOpenEventHandle = (handle: Handle, options?: CudaOptions): Promise<Event> =>
  Event.open(handle, options);
