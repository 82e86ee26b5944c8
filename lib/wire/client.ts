import { CudaIpcError, type ErrorCode } from "../errors.js";
import type { NativeAddon, NativeChannel, NativeFd, NativeGrants } from "../native.js";
import { AwaitedAhead, type Mappable, type OnAhead, slabMisfit } from "./ahead.js";
import { clientChecks, ownerChecks } from "./check.js";
import { Connection, type StartChannel } from "./connection.js";
import type { EncodedMessage } from "./encode.js";
import { protocolVersion } from "./limits.js";
import type {
  Body,
  ClientMessages,
  EventType,
  OwnerMessage,
  OwnerMessages,
  ReplyMessage,
  RequestMessage,
  RequestType,
} from "./messages.js";
import { PendingRequests, type Reply, type SendOptions } from "./pending.js";
import { replyTypes } from "./replies.js";
import type { SlabInfo, VersionInfo } from "./values.js";

/** Undefined where all of it has come ahead. */
interface BesideGrant {
  memory: Mappable | undefined;
}

type Beside<K extends RequestType> = K extends "attach" ? BesideGrant : unknown;
export type ReplyTo<K extends RequestType = RequestType> = Reply<ReplyMessage<K>> & Beside<K>;

export interface ClientRequestOptions<K extends RequestType> extends SendOptions {
  /** Told of the reply while its frame is being read, before the next one is. Must not throw. */
  onReply?: (reply: ReplyTo<K>) => void;
  /** Of an attach: has the memory sent ahead of the reply, unless another attach waits for its own. */
  onAhead?: OnAhead;
}

/** What a client says of itself. */
export type Hello = Omit<Body<ClientMessages["hello"]>, "protocol">;

/** A hello made once for many connections. */
export function helloMessage(hello: Hello): EncodedMessage {
  return clientChecks.encoded({ type: "hello", protocol: [protocolVersion], ...hello } as { type: string });
}

/** What an attach asks for, under which lease. */
export type AttachBody = Omit<Body<RequestMessage<"attach">>, "id" | "ahead">;

/** A connection on which the first request is under way: see `askFirst`. */
export interface Asked {
  readonly channel: NativeChannel;
  readonly grants: NativeGrants;
  readonly request: RequestMessage<"attach">;
}

/**
 * Connects, says hello and asks for a lease whose memory may come ahead, before anything is made that waits for the
 * answer: the owner is at work meanwhile. `ask` is `native.ask`, given from outside so that this needs no addon.
 */
export function askFirst(
  ask: NativeAddon["ask"],
  socket: string,
  hello: EncodedMessage,
  body: AttachBody,
): Asked | undefined {
  const request: RequestMessage<"attach"> = { fds: 0, type: "attach", id: 1, ...body, ahead: true };
  const asked = ask(socket, hello.frame, JSON.stringify(request), request.lease, request.access);
  return asked && { ...asked, request };
}

const farewell = clientChecks.encoded({ type: "farewell" });

export interface ClientOptions {
  channel: NativeChannel;
  start: StartChannel;
  /** Of the channel. Whoever expects a grant is to end that: by `undo` where the request has failed. */
  grants?: NativeGrants;
  hello: Hello | EncodedMessage;
  /** Has been sent already, behind the hello: see `askFirst`. It is the first request that is made here. */
  asked?: RequestMessage<"attach">;
  /** The callee owns the descriptors. */
  onEvent?(event: OwnerMessages[EventType], fds: NativeFd[]): void;
  /** A request was granted after it had been given up: a lease it made is to be released. */
  onLate?(request: RequestMessage, reply: ReplyMessage): void;
  /** Called exactly once, last. Every request that was not answered has been rejected by then. */
  onClose?(error: CudaIpcError | undefined): void;
  maxQueuedBytes?: number;
  /** Says farewell to the owner when this worker_thread ends: what it holds ends with it. */
  saysFarewell?: boolean;
}

/** What may come before it, from an owner that has not looked at the hello yet, or does not like it. */
const precedesWelcome: ReadonlySet<string> = new Set(["welcome", "error", "ahead"]);

/** A worker's end: says hello at once, so that requests need not wait for the welcome. */
export class ClientConnection {
  /** Settles with the owner's welcome, or rejects with its refusal. */
  readonly welcome: Promise<OwnerMessages["welcome"]>;
  private readonly connection: Connection;
  private readonly pending: PendingRequests<RequestMessage, Reply<ReplyMessage>>;
  private awaited: AwaitedAhead | undefined;
  private welcomed: ((welcome: OwnerMessages["welcome"]) => void) | undefined;
  private refused!: (error: CudaIpcError) => void;
  /** Why the owner disconnects, if it said so. */
  private farewell: CudaIpcError | undefined;

  constructor(private readonly options: ClientOptions) {
    const { channel, start, hello, asked, maxQueuedBytes, saysFarewell } = options;
    this.pending = new PendingRequests((request, reply) =>
      queueMicrotask(() => options.onLate?.(request, reply)),
    );
    this.welcome = new Promise((resolve, reject) => {
      this.welcomed = resolve;
      this.refused = reject;
    });
    // Whoever does not ask for the welcome hears of a refusal by his request, or by onClose.
    this.welcome.catch(() => {});
    this.connection = new Connection({
      channel,
      start,
      incoming: ownerChecks,
      outgoing: clientChecks,
      maxQueuedBytes,
      speaksFirst: asked === undefined ? "here" : "already",
      lastWords: saysFarewell ? farewell : undefined,
      onMessage: (message, fds) => this.receive(message as OwnerMessage, fds),
      onClose: (error) => this.ended(error),
    });
    if (asked !== undefined) this.pending.number();
    else this.connection.sendEncoded("frame" in hello ? hello : helloMessage(hello));
    this.keepAlive();
  }

  /** Whether the owner has said welcome: before that it has done nothing for this client. */
  get greeted(): boolean {
    return this.welcomed === undefined;
  }

  get closed(): boolean {
    return this.connection.closed;
  }

  /** Rejects with the owner's error, ERR_CUDA_IPC_TIMEOUT, the signal's reason or ERR_CUDA_IPC_CONNECTION_LOST. */
  request<K extends RequestType>(
    type: K,
    body: Omit<Body<RequestMessage<K>>, "id">,
    { fds, onReply, onAhead, ...options }: ClientRequestOptions<K> = {},
  ): Promise<ReplyTo<K>> {
    const ahead = onAhead !== undefined && this.awaited === undefined;
    let awaited: AwaitedAhead | undefined;
    const { asked } = this.options;
    // Others name the lease, too.
    const sent =
      asked !== undefined && type === asked.type && asked.lease === (body as Partial<AttachBody>).lease;
    const request = sent
      ? asked
      : ({ type, id: this.pending.number(), ...body, ...(ahead && { ahead }) } as unknown as RequestMessage);
    const send = () => {
      if (this.closed) throw this.farewell ?? lost(undefined);
      if (ahead) this.awaited = awaited = new AwaitedAhead(request.id, onAhead);
      if (sent) return;
      if (request.type === "attach") this.options.grants?.expect(request.lease, request.access, ahead);
      this.connection.send(request, fds);
    };
    const reply = this.pending.add(
      request,
      send,
      options,
      onReply as ((reply: Reply<ReplyMessage>) => void) | undefined,
    );
    this.keepAlive();
    return reply.finally(() => {
      awaited?.giveUp();
      this.keepAlive();
    }) as unknown as Promise<ReplyTo<K>>;
  }

  /**
   * Of a failed request for a lease: unmaps what was mapped for it already; undefined where nothing was. Never rejects:
   * what cannot be waited for is undone where it comes.
   */
  undo(lease: string): Promise<void> | undefined {
    return this.options.grants?.end(lease)?.catch(() => {});
  }

  close(): void {
    this.connection.close();
  }

  /** The process stays for an answer, not for events that may never come. */
  private keepAlive(): void {
    if (this.closed) return;
    if (this.pending.urgent) this.options.channel.ref();
    else this.options.channel.unref();
  }

  private receive(message: OwnerMessage, fds: NativeFd[]): void {
    if (this.welcomed !== undefined && !precedesWelcome.has(message.type)) {
      for (const fd of fds) fd.close();
      throw violation(`The owner must send its welcome before ${message.type}.`);
    }
    switch (message.type) {
      case "ahead":
        this.receiveAhead(message, fds);
        return;
      case "welcome":
        this.receiveWelcome(message);
        return;
      case "error":
        this.receiveError(message);
        return;
      case "superseded":
      case "reinstated":
      case "retired":
      case "closing":
      case "mirrorChanged":
      case "mirrorMemory":
        // Outside of the decoder: what a listener throws is not the owner's fault.
        queueMicrotask(() => this.tell(message, fds));
        return;
      default:
        this.receiveReply(message, fds);
    }
  }

  private tell(event: OwnerMessages[EventType], fds: NativeFd[]): void {
    if (this.options.onEvent !== undefined) this.options.onEvent(event, fds);
    else for (const fd of fds) fd.close();
  }

  private receiveWelcome(message: OwnerMessages["welcome"]): void {
    if (this.welcomed === undefined || message.protocol !== protocolVersion) {
      throw violation("The owner's welcome is its second, or for a protocol that was not offered.");
    }
    this.welcomed(message);
    this.welcomed = undefined;
    this.keepAlive();
  }

  private receiveError({ re, code, message, details }: OwnerMessages["error"]): void {
    const error = new CudaIpcError(code as ErrorCode, message, { details });
    if (re !== null) {
      this.answered(re);
      this.pending.fail(re, error);
      return;
    }
    this.farewell = error;
    this.connection.close();
  }

  /** Sent by the owner before it has looked at the request: it may grant something else, or nothing. */
  private receiveAhead({ version, slabs }: OwnerMessages["ahead"], fds: NativeFd[]): void {
    const misfit = this.awaited === undefined ? "answers no request" : slabMisfit(slabs, fds.length);
    if (misfit !== undefined) {
      for (const fd of fds) fd.close();
      throw violation(`The owner's ahead ${misfit}.`);
    }
    this.awaited!.receive(this.mappable(version, slabs, fds));
  }

  private mappable(version: VersionInfo, slabs: readonly SlabInfo[], fds: NativeFd[]): Mappable {
    return { version, slabs, fds: fds.slice(0, -1), manifest: fds.at(-1)!, grants: this.options.grants };
  }

  private answered(request: number): void {
    if (this.awaited?.request === request) this.awaited = undefined;
  }

  private receiveReply(message: ReplyMessage, fds: NativeFd[]): void {
    const awaited = this.awaited?.request === message.re ? this.awaited : undefined;
    const misfit = misfitOf(this.pending.request(message.re), message, fds.length, awaited);
    if (misfit !== undefined) {
      for (const fd of fds) fd.close();
      throw violation(`The owner's ${message.type} ${misfit}.`);
    }
    this.answered(message.re);
    if (message.type !== "attached") {
      this.pending.succeed(message.re, { message, fds });
      return;
    }
    const memory = message.ahead ? undefined : this.mappable(message.version, message.slabs, fds);
    this.pending.succeed(message.re, { message, fds, memory } as Reply<ReplyMessage>);
  }

  private ended(error: CudaIpcError | undefined): void {
    const reason = this.farewell ?? error;
    // The owner is not gone, and to ask again would meet the same: this process's own limit, or who is no owner at all.
    const own = error?.code === "ERR_CUDA_IPC_FD_LIMIT" || this.connection.violated ? error : undefined;
    const rejection = this.farewell ?? own ?? lost(error);
    this.refused(rejection);
    this.pending.failAll(rejection);
    this.options.onClose?.(reason);
  }
}

/** What is wrong with a reply beyond its schema. How many descriptors a hand-over carries its receiver checks. */
function misfitOf(
  request: RequestMessage | undefined,
  reply: ReplyMessage,
  fds: number,
  awaited: AwaitedAhead | undefined,
): string | undefined {
  if (request === undefined || replyTypes[request.type] !== reply.type) return "answers no request";
  if (reply.type !== "attached") return undefined;
  const { lease, slabs } = reply;
  if (lease !== (request as RequestMessage<"attach">).lease) return "grants another lease than was asked for";
  if (!reply.ahead) return slabMisfit(slabs, fds);
  return awaited === undefined ? "refers to what was never asked for" : awaited.misfitOf(reply);
}

function lost(cause: CudaIpcError | undefined): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_CONNECTION_LOST",
    `The connection to the owner was closed before it answered.${cause === undefined ? "" : ` ${cause.message}`}`,
    { cause },
  );
}

function violation(message: string): CudaIpcError {
  return new CudaIpcError("ERR_CUDA_IPC_PROTOCOL", message);
}
