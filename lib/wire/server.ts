import { CudaIpcError } from "../errors.js";
import type { NativeChannel, NativeFd } from "../native.js";
import { clientChecks, ownerChecks } from "./check.js";
import { asCoded, Connection, describeError, type StartChannel } from "./connection.js";
import type { EncodedMessage } from "./encode.js";
import { maxFrameBytes, protocolVersion } from "./limits.js";
import type {
  Body,
  ClientMessage,
  ClientMessages,
  EventType,
  OwnerMessages,
  ReplyMessage,
  RequestMessage,
  RequestType,
} from "./messages.js";
import { replyTypes } from "./replies.js";

/** What a handler answers: the reply's fields, and descriptors, which stay the handler's. */
export interface Answer<K extends RequestType> {
  body: Omit<Body<ReplyMessage<K>>, "re">;
  fds?: NativeFd[];
  /** Undoes what the client will not hear of: called when the answer cannot be sent and an error goes instead. */
  onUnsent?: () => void;
}

/** What comes beside a request: descriptors, which are the handler's to close. */
type Beside<K extends RequestType> = K extends "offer" ? [fds: NativeFd[]] : [];

/** What a client is told of its owner. */
export type Welcome = Omit<Body<OwnerMessages["welcome"]>, "protocol">;

/** A welcome made once for many clients. */
export function welcomeMessage(welcome: Welcome): EncodedMessage {
  return ownerChecks.encoded(complete(welcome));
}

function complete(welcome: Welcome) {
  return { type: "welcome", protocol: protocolVersion, ...welcome };
}

/** One for each request. At once or later; what a handler throws answers its request. */
export type RequestHandlers = {
  [K in RequestType]: (request: RequestMessage<K>, ...beside: Beside<K>) => Answer<K> | Promise<Answer<K>>;
};

export interface ServerOptions {
  channel: NativeChannel;
  start: StartChannel;
  handlers: RequestHandlers;
  /** Answers the hello, with a `welcomeMessage` or with what one is made of; what it throws refuses the client. */
  onHello(hello: ClientMessages["hello"]): Welcome | EncodedMessage;
  /** The client has let go of everything that it holds on this connection, which it closes. */
  onFarewell?(): void;
  /** Called exactly once, last. */
  onClose?(error: CudaIpcError | undefined): void;
  helloTimeoutMs?: number;
  maxQueuedBytes?: number;
  /** Of one client's frames; theirs are small, so an owner need not buffer the protocol's 16 MiB for each. */
  maxFrameBytes?: number;
  /** Requests of one client that are worked on at a time; reading pauses there. */
  maxConcurrent?: number;
}

/** An owner's end of one connection: the handshake, and a reply to every request. What requests do is not here. */
export class ServerConnection {
  private readonly connection: Connection;
  private readonly maxConcurrent: number;
  private deadline: NodeJS.Timeout | undefined;
  private greeted = false;
  private working = 0;

  constructor(private readonly options: ServerOptions) {
    const { channel, start, helloTimeoutMs = 5000, maxQueuedBytes } = options;
    this.maxConcurrent = options.maxConcurrent ?? 256;
    this.connection = new Connection({
      channel,
      start,
      incoming: clientChecks,
      outgoing: ownerChecks,
      maxQueuedBytes,
      maxFrameBytes: Math.min(options.maxFrameBytes ?? 1024 * 1024, maxFrameBytes),
      onMessage: (message, fds) => this.receive(message as ClientMessage, fds),
      onClose: (error) => {
        clearTimeout(this.deadline);
        options.onClose?.(error);
      },
    });
    // As a rule it has come by then.
    setImmediate(() => this.awaitHello(helloTimeoutMs));
  }

  get closed(): boolean {
    return this.connection.closed;
  }

  /** Tells the client something it did not ask for. */
  notify<K extends EventType>(type: K, body: Body<OwnerMessages[K]>, fds?: NativeFd[]): void {
    if (this.greeted) this.connection.send({ type, ...body }, fds);
  }

  /** Stops reading what the client sends, until `resume`. */
  pause(): void {
    if (!this.closed) this.connection.channel.pause();
  }

  resume(): void {
    if (!this.closed) this.connection.channel.resume();
  }

  /** Disconnects the client with a reason. */
  fail(error: CudaIpcError): void {
    this.connection.fail(error);
  }

  close(): void {
    this.connection.close();
  }

  private receive(message: ClientMessage, fds: NativeFd[]): void {
    if (message.type === "hello") {
      this.greet(message);
      return;
    }
    if (!this.greeted) {
      for (const fd of fds) fd.close();
      throw violation(`A client must say hello before ${message.type}.`);
    }
    if (message.type === "farewell") this.options.onFarewell?.();
    else this.answer(message, fds);
  }

  private awaitHello(milliseconds: number): void {
    if (this.greeted || this.closed) return;
    this.deadline = setTimeout(() => this.connection.fail(silent(milliseconds)), milliseconds);
    this.deadline.unref();
  }

  private greet(hello: ClientMessages["hello"]): void {
    if (this.greeted) throw violation("A client must say hello once.");
    if (!hello.protocol.includes(protocolVersion)) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_PROTOCOL_VERSION",
        `This owner speaks version ${protocolVersion} of the protocol; the client speaks ${hello.protocol.join(", ")}. Use one version of cuda-ipc for both.`,
        { details: { owner: [protocolVersion], client: hello.protocol } },
      );
    }
    const welcome = this.options.onHello(hello);
    clearTimeout(this.deadline);
    this.greeted = true;
    if ("frame" in welcome) this.connection.sendEncoded(welcome);
    else this.connection.send(complete(welcome));
  }

  private answer(request: RequestMessage, fds: NativeFd[]): void {
    const handler = this.options.handlers[request.type] as (
      request: RequestMessage,
      fds: NativeFd[],
    ) => Answer<RequestType> | Promise<Answer<RequestType>>;
    let answer: Answer<RequestType> | Promise<Answer<RequestType>>;
    try {
      answer = handler(request, fds);
    } catch (error) {
      this.refuse(request, error);
      return;
    }
    // What can be answered at once is, without a turn of the event loop.
    if (!(answer instanceof Promise)) {
      this.reply(request, answer);
      return;
    }
    // Waiting for a lock, or for a version to come back, is no work: if it counted, enough of it would keep the unlock
    // or the offer behind it from being read.
    const counted = request.type !== "lock" && request.type !== "attach";
    if (counted) this.begin();
    answer
      .then(
        (later) => this.reply(request, later),
        (error) => this.refuse(request, error),
      )
      .finally(() => counted && this.end());
  }

  private reply(request: RequestMessage, { body, fds, onUnsent }: Answer<RequestType>): void {
    try {
      this.connection.send({ type: replyTypes[request.type], re: request.id, ...body }, fds);
    } catch (error) {
      onUnsent?.();
      this.refuse(request, error);
    }
  }

  private refuse(request: RequestMessage, error: unknown): void {
    this.connection.send({ type: "error", re: request.id, ...describeError(asCoded(error)) });
  }

  private begin(): void {
    if (++this.working === this.maxConcurrent) this.connection.channel.pause();
  }

  private end(): void {
    if (this.working-- === this.maxConcurrent && !this.closed) this.connection.channel.resume();
  }
}

function silent(milliseconds: number): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_HELLO_TIMEOUT",
    `The client did not say hello within ${milliseconds} ms of connecting.`,
  );
}

function violation(message: string): CudaIpcError {
  return new CudaIpcError("ERR_CUDA_IPC_PROTOCOL", message);
}
