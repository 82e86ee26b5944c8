import { CudaIpcError } from "../errors.js";
import type { ChannelEvents, NativeChannel, NativeFd } from "../native.js";
import type { MessageChecks } from "./check.js";
import { type EncodedMessage, encodeFrame } from "./encode.js";
import { type Frame, FrameDecoder } from "./framing.js";
import { maxFrameBytes, maxFrameFds } from "./limits.js";

/** How a channel is started: `native.startChannel`, given from outside so that this needs no addon. */
export type StartChannel = (channel: NativeChannel, events: ChannelEvents) => void;

export interface ConnectionOptions {
  channel: NativeChannel;
  start: StartChannel;
  /** What the peer may send, and what this side may. */
  incoming: MessageChecks;
  outgoing: MessageChecks;
  /** A checked message; the callee owns the descriptors. What it throws disconnects the peer. */
  onMessage(message: { type: string }, fds: NativeFd[]): void;
  /** Called exactly once, last: without an error when either side closed in good order. */
  onClose(error: CudaIpcError | undefined): void;
  /** Bytes that may wait for a slow reader before it is disconnected. */
  maxQueuedBytes?: number;
  maxFrameBytes?: number;
  /**
   * This side speaks first: its first message goes in one piece with what is sent in the same turn, and the channel is
   * started when the peer has been given that to do. Or "already", on the channel: that is started in the turn's end.
   */
  speaksFirst?: "here" | "already";
  /** What the channel says for this side, from its first message on, if its thread ends before the connection. */
  lastWords?: EncodedMessage;
}

/** Whatever was thrown, with a code to tell the peer. */
export function asCoded(error: unknown): CudaIpcError {
  if (error instanceof CudaIpcError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new CudaIpcError("ERR_CUDA_IPC_INTERNAL", message, { cause: error });
}

/** An error as its message tells it. */
export function describeError({ code, message, details }: CudaIpcError) {
  try {
    return { code, message, details: JSON.parse(JSON.stringify(details)) as Record<string, unknown> };
  } catch {
    // Details that JSON cannot express must not cost the peer the error.
    return { code, message, details: {} };
  }
}

/** Checked messages over a channel. Knows no roles: neither the handshake, nor requests and replies. */
export class Connection {
  readonly channel: NativeChannel;
  private readonly decoder: FrameDecoder<NativeFd>;
  private readonly maxQueuedBytes: number;
  private finished = false;
  private started = false;
  private broken = false;
  /** Of the side that speaks first: what is not sent yet. */
  private opening: Buffer | undefined;

  constructor(private readonly options: ConnectionOptions) {
    this.channel = options.channel;
    this.decoder = new FrameDecoder(options.maxFrameBytes ?? maxFrameBytes);
    this.maxQueuedBytes = options.maxQueuedBytes ?? 2 * maxFrameBytes;
    if (options.speaksFirst === undefined) this.start();
    else if (options.speaksFirst === "already") {
      this.leaveLastWords();
      queueMicrotask(() => this.begin());
    }
  }

  get closed(): boolean {
    return this.finished;
  }

  /** Whether it was closed because the peer broke the protocol. Half a frame at its end is no such thing: who sent it is dead. */
  get violated(): boolean {
    return this.broken;
  }

  /**
   * The descriptors stay the caller's. Does nothing on a closed connection: `onClose` tells of that.
   */
  send<M extends { type: string }>(message: M, fds: NativeFd[] = []): void {
    if (this.finished) return;
    const complete = { fds: fds.length, ...message };
    this.options.outgoing.check(complete);
    const frame = encodeFrame(complete);
    if (frame.length - 4 > maxFrameBytes || fds.length > maxFrameFds) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_FRAME_LIMIT",
        `A message ${JSON.stringify(message.type)} of ${frame.length} bytes with ${fds.length} descriptors is over the protocol's limit of ${maxFrameBytes} bytes and ${maxFrameFds} descriptors.`,
      );
    }
    this.write(frame, fds);
  }

  /** The same for a message that has been checked and encoded before. */
  sendEncoded({ frame }: EncodedMessage): void {
    if (!this.finished) this.write(frame, []);
  }

  /** Tells the peer why, and disconnects it. */
  fail(error: CudaIpcError): void {
    if (this.finished) return;
    try {
      this.channel.send(encodeFrame({ type: "error", fds: 0, re: null, ...describeError(error) }));
    } catch {
      // The peer is gone already.
    }
    this.finish(error);
  }

  close(): void {
    this.finish(undefined);
  }

  private write(frame: Buffer, fds: NativeFd[]): void {
    if (this.channel.queuedBytes > this.maxQueuedBytes) {
      this.finish(
        new CudaIpcError(
          "ERR_CUDA_IPC_SLOW_READER",
          `The peer does not read: ${this.channel.queuedBytes} bytes wait for it. It was disconnected.`,
        ),
      );
    } else if (this.started) this.transmit(frame, fds);
    else this.open(frame, fds);
  }

  private start(): void {
    this.started = true;
    this.options.start(this.channel, {
      onData: (bytes, fds) => this.receive(bytes, fds),
      onDrain: () => {},
      onClose: (error) => this.ended(error),
    });
  }

  /** The first frame waits for the second, or for the end of the turn. */
  private open(frame: Buffer, fds: NativeFd[]): void {
    if (fds.length > 0) {
      // They must not come before the frame that declares them.
      this.begin();
      this.transmit(frame, fds);
    } else if (this.opening === undefined) {
      this.opening = frame;
      queueMicrotask(() => this.begin());
    } else {
      this.opening = Buffer.concat([this.opening, frame]);
      this.begin();
    }
  }

  private begin(): void {
    if (this.started || this.finished) return;
    if (this.opening !== undefined) this.transmit(this.opening, []);
    this.opening = undefined;
    if (this.finished) return;
    this.leaveLastWords();
    this.start();
  }

  private leaveLastWords(): void {
    const { lastWords } = this.options;
    if (lastWords !== undefined) this.channel.lastWords(lastWords.frame);
  }

  private transmit(frame: Buffer, fds: NativeFd[]): void {
    try {
      this.channel.send(frame, fds);
    } catch (error) {
      // Out of descriptors to duplicate into is this call's failure; a dead channel is everybody's.
      if ((error as CudaIpcError).code === "ERR_CUDA_IPC_FD_LIMIT") throw error;
      this.finish(lost(error));
    }
  }

  private receive(bytes: Buffer, fds: readonly NativeFd[]): void {
    try {
      this.decoder.push(bytes, fds, (frame) => this.dispatch(frame));
    } catch (error) {
      this.broken = !this.finished;
      this.fail(asCoded(error));
    }
  }

  private dispatch({ message, fds }: Frame<NativeFd>): void {
    try {
      this.options.incoming.check(message);
    } catch (error) {
      for (const fd of fds) fd.close();
      throw error;
    }
    this.options.onMessage(message, fds);
  }

  private ended(error: Error | null): void {
    if (this.finished) return;
    let failure = error === null ? undefined : lost(error);
    try {
      this.decoder.end();
    } catch (violation) {
      failure ??= violation as CudaIpcError;
    }
    this.finish(failure);
  }

  private finish(error: CudaIpcError | undefined): void {
    if (this.finished) return;
    this.finished = true;
    this.decoder.close();
    this.channel.close();
    this.options.onClose(error);
  }
}

function lost(error: unknown): CudaIpcError {
  if (error instanceof CudaIpcError && error.code !== "ERR_CUDA_IPC_CLOSED") return error;
  return new CudaIpcError("ERR_CUDA_IPC_CONNECTION_LOST", "The connection was lost.", { cause: error });
}
