import type { ChannelEvents, NativeChannel, NativeFd, NativePeer } from "../../dist/lib/native.js";

let nextFd = 100;

/** Descriptors that are numbers only; `open` is every one that nobody has closed. */
export class FakeFd implements NativeFd {
  static readonly open = new Set<FakeFd>();
  private readonly number = nextFd++;

  constructor() {
    FakeFd.open.add(this);
  }

  get fd(): number {
    return FakeFd.open.has(this) ? this.number : -1;
  }

  duplicate(): FakeFd {
    return new FakeFd();
  }

  async dispose(): Promise<void> {
    this.close();
  }

  close(): void {
    FakeFd.open.delete(this);
  }
}

/** One end of a socket without a kernel. Everything arrives in a later microtask, as with the real one. */
export class FakeChannel implements NativeChannel {
  readonly peer: NativePeer = { pid: 1, uid: 0, gid: 0, startTime: "1", command: "fake" };
  readonly fd = 3;
  queuedBytes = 0;
  /** A reader that does not read: what is sent to it stays queued. */
  stalled = false;
  paused = false;
  refed = false;
  other!: FakeChannel;
  words: Uint8Array | undefined;
  private events: ChannelEvents | undefined;
  private closed = false;
  private ended = false;
  private early: [Buffer, FakeFd[]][] = [];

  static pair(): [FakeChannel, FakeChannel] {
    const ends: [FakeChannel, FakeChannel] = [new FakeChannel(), new FakeChannel()];
    [ends[0].other, ends[1].other] = [ends[1], ends[0]];
    return ends;
  }

  static start = (channel: NativeChannel, events: ChannelEvents): void => {
    const fake = channel as FakeChannel;
    fake.events = events;
    for (const [bytes, fds] of fake.early.splice(0)) fake.deliver(bytes, fds);
  };

  takeAhead(): undefined {}

  giveBack(): void {}

  untaken(): string[] {
    return [];
  }

  lastWords(bytes: Uint8Array): void {
    this.words = bytes;
  }

  send(bytes: Uint8Array, fds: NativeFd[] = []): boolean {
    if (this.closed) throw Object.assign(new Error("closed"), { code: "ERR_CUDA_IPC_CLOSED" });
    if (this.other.stalled) {
      this.queuedBytes += bytes.length;
      return false;
    }
    const copies = fds.map((fd) => fd.duplicate() as FakeFd);
    this.other.deliver(Buffer.from(bytes), copies);
    return true;
  }

  /** Puts bytes and descriptors on this end's incoming side, as the peer's kernel would. */
  deliver(bytes: Buffer, fds: FakeFd[] = []): void {
    if (this.events === undefined) {
      this.early.push([bytes, fds]);
      return;
    }
    queueMicrotask(() => {
      if (this.closed) for (const fd of fds) fd.close();
      else this.events!.onData(bytes, fds);
    });
  }

  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  ref(): void {
    this.refed = true;
  }
  unref(): void {
    this.refed = false;
  }
  watchPeer(): never {
    throw new Error("not here");
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    queueMicrotask(() => this.end(null));
    queueMicrotask(() => queueMicrotask(() => this.other.end(null)));
  }

  end(error: Error | null): void {
    if (this.ended) return;
    this.ended = true;
    this.closed = true;
    this.events?.onClose(error);
  }
}
