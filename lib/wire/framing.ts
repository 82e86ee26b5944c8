import { CudaIpcError } from "../errors.js";
import { maxFrameBytes, maxFrameFds } from "./limits.js";

/** What a descriptor must be able to do here. */
export interface Closable {
  close(): void;
}

/** One message as it came: an object with a `type`, not checked any further, and the descriptors it declared. */
export interface Frame<Fd extends Closable> {
  message: { type: string; fds: number };
  fds: Fd[];
}

const headerBytes = 4;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Cuts a stream of bytes, with descriptors beside them, into frames. Neither chunks nor groups of descriptors
 * are aligned to frames; but a descriptor comes no later than the last byte of the frame that declares it, and
 * not before the first byte of that frame, unless frames share a chunk.
 *
 * Every violation throws ERR_CUDA_IPC_PROTOCOL, closes the descriptors that nobody has taken, and leaves the
 * decoder closed.
 */
export class FrameDecoder<Fd extends Closable> {
  /** The bytes of an incomplete frame are `pending[0, filled)`. */
  private pending: Buffer = Buffer.alloc(0);
  private filled = 0;
  private fds: Fd[] = [];
  private closed = false;

  constructor(private readonly limit = maxFrameBytes) {}

  /** Takes one chunk. Frames before a violation are delivered; `onFrame` owns their descriptors. */
  push(chunk: Buffer, fds: readonly Fd[], onFrame: (frame: Frame<Fd>) => void): void {
    if (this.closed) {
      for (const fd of fds) fd.close();
      return;
    }
    this.fds.push(...fds);
    try {
      this.decode(chunk, onFrame);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The stream has ended. Throws when that was in the middle of a frame. */
  end(): void {
    const rest = this.filled;
    this.close();
    if (rest > 0) {
      throw violation(`The connection ended within a frame, ${rest} bytes after its beginning.`);
    }
  }

  /** Drops what is incomplete; may be called by `onFrame`. */
  close(): void {
    this.closed = true;
    this.pending = Buffer.alloc(0);
    this.filled = 0;
    for (const fd of this.fds.splice(0)) fd.close();
  }

  private decode(chunk: Buffer, onFrame: (frame: Frame<Fd>) => void): void {
    let rest = chunk;
    while (rest.length > 0 && !this.closed) {
      if (this.filled > 0) {
        rest = this.fill(rest);
        const size = this.frameSize(this.pending.subarray(0, this.filled));
        if (size === undefined || this.filled < size) continue;
        const frame = this.pending.subarray(headerBytes, size);
        this.pending = Buffer.alloc(0);
        this.filled = 0;
        this.deliver(frame, onFrame);
        continue;
      }
      const size = this.frameSize(rest);
      if (size === undefined || rest.length < size) {
        rest = this.fill(rest);
        continue;
      }
      const frame = rest.subarray(headerBytes, size);
      rest = rest.subarray(size);
      this.deliver(frame, onFrame);
    }
    if (this.closed) return;
    if (this.fds.length > maxFrameFds) {
      throw violation(
        `${this.fds.length} descriptors arrived for one frame, and ${maxFrameFds} is the limit.`,
      );
    }
    if (this.filled === 0 && this.fds.length > 0) {
      throw violation(`${this.fds.length} descriptors arrived that no frame declares.`);
    }
  }

  /** Moves what the pending frame still needs, as far as is known, and returns the rest of the chunk. */
  private fill(chunk: Buffer): Buffer {
    const size = this.frameSize(this.pending.subarray(0, this.filled)) ?? headerBytes;
    const taken = Math.min(chunk.length, size - this.filled);
    this.reserve(this.filled + taken);
    chunk.copy(this.pending, this.filled, 0, taken);
    this.filled += taken;
    return chunk.subarray(taken);
  }

  /** Room grows with what has arrived, not with what a header promises. */
  private reserve(bytes: number): void {
    if (this.pending.length >= bytes) return;
    const grown = Buffer.allocUnsafe(Math.max(bytes, 2 * this.pending.length, 512));
    this.pending.copy(grown, 0, 0, this.filled);
    this.pending = grown;
  }

  /** With its header; undefined while the header is incomplete. */
  private frameSize(bytes: Buffer): number | undefined {
    if (bytes.length < headerBytes) return undefined;
    const length = bytes.readUInt32LE(0);
    if (length === 0 || length > this.limit) {
      throw violation(`A frame of ${length} bytes was announced; 1 to ${this.limit} are allowed.`);
    }
    return headerBytes + length;
  }

  private deliver(bytes: Buffer, onFrame: (frame: Frame<Fd>) => void): void {
    const message = parse(bytes);
    if (message.fds > this.fds.length) {
      throw violation(
        `A frame declares ${message.fds} descriptors and is complete, but only ${this.fds.length} arrived.`,
      );
    }
    onFrame({ message, fds: this.fds.splice(0, message.fds) });
  }
}

function parse(bytes: Buffer): { type: string; fds: number } {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw violation(`A frame is not ${cause instanceof SyntaxError ? "JSON" : "UTF-8"}.`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw violation("A frame is not a JSON object.");
  }
  const { type, fds } = value as { type?: unknown; fds?: unknown };
  if (typeof type !== "string") throw violation("A frame has no type.");
  if (!Number.isInteger(fds) || (fds as number) < 0 || (fds as number) > maxFrameFds) {
    throw violation(
      `A frame does not declare its descriptors: "fds" must be an integer from 0 to ${maxFrameFds}.`,
    );
  }
  return value as { type: string; fds: number };
}

function violation(message: string): CudaIpcError {
  return new CudaIpcError("ERR_CUDA_IPC_PROTOCOL", message);
}
