import { CudaIpcError } from "../errors.js";
import type { NativeFd } from "../native.js";

/** A reply as it came; the receiver owns the descriptors. */
export interface Reply<T> {
  message: T;
  fds: NativeFd[];
}

export interface RequestOptions {
  /** Gives the request up; its reply may still come, see `onLate`. */
  signal?: AbortSignal;
  timeoutMs?: number;
  /** No process stays alive for the answer. */
  background?: boolean;
}

export interface SendOptions extends RequestOptions {
  /** Go with the request; they stay the caller's. */
  fds?: NativeFd[];
}

interface Pending<Request, R> {
  readonly request: Request;
  readonly resolve: (reply: R) => void;
  readonly reject: (reason: unknown) => void;
  readonly stop: () => void;
  readonly background: boolean;
}

/** Which request a reply belongs to. A request that was given up is remembered until its reply has come. */
export class PendingRequests<Request extends { id: number }, R extends Reply<unknown>> {
  private readonly waiting = new Map<number, Pending<Request, R>>();
  private readonly abandoned = new Map<number, Request>();
  private nextId = 1;

  /** `onLate` is told of a success that came after its request was given up; the descriptors are closed by then. */
  constructor(private readonly onLate: (request: Request, message: R["message"]) => void) {}

  /** Whether somebody waits for an answer whom the process must not end before. */
  get urgent(): boolean {
    for (const { background } of this.waiting.values()) if (!background) return true;
    return false;
  }

  /** A number that no other request has. */
  number(): number {
    return this.nextId++;
  }

  /**
   * Calls `send`; what it throws rejects the request. `onReply` is told of the reply at once, and not in a later turn of
   * the promise.
   */
  add(
    request: Request,
    send: (request: Request) => void,
    options: RequestOptions = {},
    onReply?: (reply: R) => void,
  ) {
    return new Promise<R>((settle, reject) => {
      const { signal, timeoutMs, background = false } = options;
      signal?.throwIfAborted();
      const { id } = request;
      const abort = () => this.abandon(id, signal!.reason);
      let timer: NodeJS.Timeout | undefined;
      const stop = () => {
        signal?.removeEventListener("abort", abort);
        clearTimeout(timer);
      };
      const resolve = (reply: R) => {
        onReply?.(reply);
        settle(reply);
      };
      this.waiting.set(id, { request, resolve, reject, stop, background });
      try {
        send(request);
      } catch (error) {
        this.take(id);
        reject(error);
        return;
      }
      // What could not be written has ended the connection, and this request with it.
      if (!this.waiting.has(id)) return;
      // The peer is at work by now.
      if (timeoutMs !== undefined) {
        timer = setTimeout(() => this.abandon(id, timedOut(timeoutMs)), timeoutMs);
      }
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** The request that a reply names; undefined when there is none. */
  request(id: number): Request | undefined {
    return this.waiting.get(id)?.request ?? this.abandoned.get(id);
  }

  succeed(id: number, reply: R): void {
    const pending = this.take(id);
    if (pending !== undefined) {
      pending.resolve(reply);
      return;
    }
    for (const fd of reply.fds) fd.close();
    const request = this.abandoned.get(id);
    if (request === undefined) return;
    this.abandoned.delete(id);
    this.onLate(request, reply.message);
  }

  fail(id: number, error: CudaIpcError): void {
    this.take(id)?.reject(error);
    this.abandoned.delete(id);
  }

  failAll(error: CudaIpcError): void {
    this.abandoned.clear();
    for (const id of [...this.waiting.keys()]) this.fail(id, error);
  }

  private take(id: number): Pending<Request, R> | undefined {
    const pending = this.waiting.get(id);
    this.waiting.delete(id);
    pending?.stop();
    return pending;
  }

  private abandon(id: number, reason: unknown): void {
    const pending = this.take(id);
    if (pending === undefined) return;
    this.abandoned.set(id, pending.request);
    pending.reject(reason);
  }
}

function timedOut(milliseconds: number): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_TIMEOUT",
    `The owner did not answer within ${milliseconds} ms. It is stopped, or busy; try again or allow more time.`,
    { details: { milliseconds } },
  );
}
