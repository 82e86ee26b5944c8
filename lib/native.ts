/**
 * The only typed contract of the addon. Nothing else in lib/ may require the .node file.
 *
 * Byte counts and offsets are safe integers, device pointers are bigint, ids are Buffers. Whatever can take
 * more than 100 us returns a promise and runs on the addon's own threads. Arguments are re-checked natively.
 */
import path from "node:path";
import { CudaIpcError, type ErrorCode, type ErrorFacts } from "./errors.js";

/** An owned file descriptor: closed by `close()`, or when collected. */
export interface NativeFd {
  /** The descriptor's number; -1 once closed. */
  readonly fd: number;
  /** A new descriptor (close-on-exec) for the same open file. */
  duplicate(): NativeFd;
  /** Harmless when closed already. The last descriptor of device memory frees it, which takes time: see `dispose`. */
  close(): void;
  /** The same on a thread of the addon; resolves when it is closed. */
  dispose(): Promise<void>;
}

/** Kernel facts about the process at the other end of a socket. */
export interface NativePeer {
  /** In this process's PID namespace; 0 when the peer is not visible in it. */
  pid: number;
  uid: number;
  gid: number;
  /** Clock ticks since boot at which the process started (field 22 of /proc/PID/stat); "" when not visible. */
  startTime: string;
  /** The name of the command, from /proc/PID/comm; "" when not visible. */
  command: string;
}

/** A watch on a process through its pidfd. */
export interface NativeProcess {
  readonly pid: number;
  readonly startTime: string;
  readonly exited: boolean;
  /** When epoll reported the exit: milliseconds in the time base of `process.hrtime`. */
  readonly exitedAt: number | undefined;
  /** Stops watching and closes the pidfd; `onExit` will not be called any more. Harmless when closed already. */
  close(): void;
}

export interface ChannelEvents {
  /**
   * What one recvmsg returned: `bytes` may hold half a frame or several, `fds` came beside them, in order.
   * The callee owns the fds.
   */
  onData(bytes: Buffer, fds: NativeFd[]): void;
  /** Everything queued by `send` has been handed to the kernel after `send` had returned false. */
  onDrain(): void;
  /**
   * Called exactly once, last. Without an error: end-of-file, or `close()` on this side. With one:
   * ERR_CUDA_IPC_FD_LIMIT (MSG_CTRUNC: descriptors were lost because this process is at its limit),
   * ERR_CUDA_IPC_CONNECTION (reset, and every other failure).
   */
  onClose(error: Error | null): void;
}

/** One connected SOCK_STREAM Unix socket. */
export interface NativeChannel {
  /** Of one that was connected here it is looked at when it is first asked for: ERR_CUDA_IPC_CLOSED once that is closed. */
  readonly peer: NativePeer;
  /** The socket's descriptor number; -1 once closed. For diagnosis only. */
  readonly fd: number;
  /** Bytes accepted by `send` and not yet taken by the kernel. */
  readonly queuedBytes: number;
  /**
   * Sends bytes with descriptors beside the first of them. Tries the kernel at once, on this thread, without
   * blocking; queues the rest for the epoll thread. The descriptors are duplicated: the caller's stay its own.
   * More than 253 descriptors are spread over several messages. False when bytes had to be queued: wait for
   * onDrain, or when the connection has been lost and they were dropped: onClose is on its way. Throws
   * ERR_CUDA_IPC_CLOSED after close() or onClose.
   */
  send(bytes: Uint8Array, fds?: NativeFd[]): boolean;
  /** Stops and resumes reading: backpressure towards the peer. */
  pause(): void;
  resume(): void;
  /** Keeps the event loop alive while open (`ref`), or not (`unref`, the initial state). */
  ref(): void;
  unref(): void;
  /** A watch on the peer; throws ERR_CUDA_IPC_PEER_UNPROVEN when its death could not be proven (no pidfd). */
  watchPeer(onExit: () => void): NativeProcess;
  /**
   * What is sent last if this worker_thread ends while the channel is open: once all of its mappings from `openSlab` are
   * closed, and only if the kernel takes it, with what was queued before, at once. Never sent for the main thread, which
   * ends with its process, whose death says all.
   */
  lastWords(bytes: Uint8Array): void;
  /**
   * Of a channel that came with a shelf: the version that was sent ahead to whoever asked for this lease. Once. To be
   * asked for every request that wants something ahead. What was lent stays out until `giveBack`: also when the channel is
   * closed, and even when it is collected, as long as the peer's process lives.
   */
  takeAhead(lease: string): string | undefined;
  /** What was lent under that lease is open at the peer no more, or something else keeps it. Harmless when nothing was. */
  giveBack(lease: string): void;
  /** The leases under which something was lent, and for which `takeAhead` was not called. */
  untaken(): string[];
  /** Sends what is queued if the kernel takes it at once, then closes. onClose follows. Harmless when closed. */
  close(): void;
}

/** Requests to an owner that this environment leaves behind when it ends, unless they have been taken out by then. */
export interface NativeTestament {
  /** The frame of one request, under a name by which it is replaced or taken out. Its `id` is in no other one. */
  set(key: string, request: Uint8Array): void;
  delete(key: string): void;
}

/**
 * Frames that are sent ahead, by the epoll thread, to whoever asks for an attach of that set with `ahead`, as soon as the
 * request arrives: JavaScript reads, and answers, the same request afterwards. Of all channels that it was given to.
 */
export interface NativeShelf {
  /**
   * What is sent from now on for that set, to who asks for this version or the current one, and for this checksum or
   * any: `frames`, which are a whole number of them, with the descriptors beside the first byte. They are
   * shared: what is closed meanwhile is closed when it is replaced or removed here, too. With a `provider` its memory is on
   * loan to whoever is sent it, and that is nobody who is on another driver, or whose death could not be proven.
   */
  put(
    set: string,
    version: string,
    checksum: string | null,
    frames: Uint8Array,
    fds: readonly NativeFd[],
    provider?: string,
  ): void;
  /** Harmless when something else lies there, or nothing. */
  remove(set: string, version: string): void;
  clear(): void;
  /**
   * Whether that version is on loan to anybody; then `onReturned` is called, once, when it is not any more. To be asked
   * when it does not lie here any more. Keeps no event loop alive.
   */
  whenReturned(version: string, onReturned: () => void): boolean;
}

export interface NativeListener {
  ref(): void;
  unref(): void;
  /** Stops accepting and gives the socket away, still listening: who connects waits for whoever adopts it. */
  detach(): NativeFd;
  /** Stops listening and closes the socket. Does not remove the path. Harmless when closed already. */
  close(): void;
}

/** An exclusive flock, held until `close()`, collection, or the death of the process. */
export interface NativeFileLock {
  readonly held: boolean;
  /** A descriptor that holds the same lock: the lock ends when both are closed. */
  duplicate(): NativeFd;
  close(): void;
}

export type Sharing = "vmm" | "ipc";
export type Access = "read" | "readwrite";

/** One device allocation made by this process to be shared. */
export interface NativeSlab {
  /** Where it is mapped, readable and writable, in this process; 0n once `unmap()`ed or closed. */
  readonly devicePointer: bigint;
  /** A multiple of 2 MiB and of the device's granularity: at least what was asked for. */
  readonly bytes: number;
  /** `ipc`: the 64-byte CUDA IPC memory handle. `vmm`: undefined. */
  readonly handle: Buffer | undefined;
  /** `vmm`: a new descriptor that keeps the memory alive by itself. `ipc`: throws ERR_CUDA_IPC_INVALID_STATE. */
  exportFd(): NativeFd;
  /**
   * Lets go of everything this object holds, in reverse order: mapping, reservation, allocation. `vmm` memory
   * lives on while a descriptor or another mapping does; `ipc` memory is freed. Waits for the work of this
   * process on the device first. Harmless when closed already.
   */
  close(): Promise<void>;
}

/** One counted reference to a slab that is mapped once per process, device and access mode. */
export interface NativeMapping {
  /** Ordinal in this process. */
  readonly device: number;
  readonly devicePointer: bigint;
  readonly bytes: number;
  /**
   * Waits for `after` (default: all of this process's work on the device; null: nothing), then drops the
   * reference; the last one unmaps. Harmless when closed already. A mapping that is collected is closed the same way.
   */
  close(after?: NativeStream | NativeEvent | null): Promise<void>;
}

/** What is needed to map a slab; see `openSlab`. */
export interface SlabOpening {
  /** 16 bytes. */
  id: Buffer;
  uuid: string;
  bytes: number;
  access: Access;
  fd?: NativeFd;
  handle?: Buffer;
}

/** Slabs that are opened when the owner's grant arrives, before `onData` has told of it. */
export interface NativeGrants {
  /**
   * The next `attached` may grant this lease: what it names is to be mapped. With `ahead` the next `ahead` is for it, too:
   * one lease at a time. Nothing is mapped while the driver is not up.
   */
  expect(lease: string, access: Access, ahead: boolean): void;
  /**
   * Takes over what was begun for the slab of that index: as `openSlab` with the same source would. Undefined where
   * nothing was begun, or for something else.
   */
  open(lease: string, slab: number, source: SlabOpening): Promise<NativeMapping> | undefined;
  /** Begins nothing more for the lease. Undoes what nobody has taken over; undefined where there is nothing. */
  end(lease: string): Promise<void> | undefined;
}

export interface NativeStream {
  readonly handle: bigint;
  readonly device: number;
  synchronize(): Promise<void>;
  query(): boolean;
  waitEvent(event: NativeEvent): void;
  destroy(): Promise<void>;
}

export interface NativeEvent {
  readonly handle: bigint;
  readonly device: number;
  record(stream?: NativeStream): void;
  query(): boolean;
  synchronize(): Promise<void>;
  /** The 64-byte CUDA IPC event handle of an event created with `interprocess`. */
  ipcHandle(): Buffer;
  destroy(): Promise<void>;
}

/** What is known about a pointer. `type` is as cudaMemoryType names it; the rest says nothing for "unregistered". */
export interface PointerFacts {
  type: "device" | "host" | "managed" | "unregistered";
  device: number;
  deviceUuid: string;
  /** The allocation's first byte. */
  base: bigint;
  /** Where the pointer lies in it. */
  offset: number;
  /** The allocation's size. */
  bytes: number;
}

export interface NativeModule {
  readonly device: number;
  function(name: string): Promise<NativeFunction>;
  /** Harmless when unloaded already; collected, it is unloaded too. Its functions are of no use any more. */
  unload(): Promise<void>;
}

/** One kernel parameter: its type and value. */
export type KernelArgument =
  | { pointer: bigint }
  | { u8: number }
  | { u16: number }
  | { u32: number }
  | { u64: bigint }
  | { i8: number }
  | { i16: number }
  | { i32: number }
  | { i64: bigint }
  | { f32: number }
  | { f64: number }
  /** A struct passed by value, laid out as the kernel's compiler has it. */
  | { bytes: ArrayBufferView };

export interface NativeFunction {
  /** Enqueues one launch, on this thread. The arguments are copied. ERR_CUDA_IPC_CLOSED once unloaded. */
  launch(
    gridX: number,
    gridY: number,
    gridZ: number,
    blockX: number,
    blockY: number,
    blockZ: number,
    sharedBytes: number,
    stream: NativeStream | undefined,
    args: readonly KernelArgument[],
  ): void;
}

/** A virtual-memory-management allocation with its address and mapping. */
export interface NativeVmm {
  readonly device: number;
  /** A multiple of 2 MiB and of the device's granularity. */
  readonly bytes: number;
  /** 0n while not mapped, and once closed. */
  readonly devicePointer: bigint;
  /** A new descriptor that keeps the memory alive by itself. */
  exportFd(): NativeFd;
  map(access: Access): Promise<bigint>;
  setAccess(access: Access): Promise<void>;
  /**
   * Waits for `after` (default: all of this process's work on the device; null: nothing), then lets go of the
   * mapping, the address and the allocation. Harmless when closed already; collected, it is closed the same way.
   */
  close(after?: NativeStream | NativeEvent | null): Promise<void>;
}

/** One contiguous copy of a load: `bytes` from `offset` of a source to `target` on the device. */
export interface LoadRun {
  /** Index into `sources`. */
  source: number;
  offset: number;
  bytes: number;
  /** Offset from `base` on the device. */
  target: number;
}

/**
 * How a load reads files. "auto": what is in the page cache from there, and the rest past it, at the disk's own speed
 * and without filling host memory. "buffered" leaves what it reads in the page cache, for the next load. "direct"
 * asks the disk for everything. Where a file system knows no direct reads, each is "buffered".
 */
export type FileAccess = "auto" | "buffered" | "direct";

export interface LoadOptions {
  device: number;
  /** The device pointer that run targets are relative to. */
  base: bigint;
  /** Paths of files, or memory. Memory must not be changed or transferred until the load has settled. */
  sources: (string | Uint8Array)[];
  runs: LoadRun[];
  /** Reader threads; default: what the machine repays. */
  threads?: number;
  /** How files are read; default "auto". */
  io?: FileAccess;
  /** Size of a staging chunk in bytes; default 4 MiB, and 2 MiB where that is less than 8 chunks for each thread. */
  chunkBytes?: number;
  /** Called on the event loop, at most every 50 ms, and once at the end, with bytes on the device so far. */
  onProgress?: (bytes: number) => void;
  cancel?: NativeCancel;
  /**
   * Also computes the checksum of so many bytes from `base` on, while they are still arriving. What no run covers
   * must be zero already.
   */
  checksumBytes?: number;
}

export type ChecksumSourcesOptions = Omit<LoadOptions, "device" | "base" | "checksumBytes"> & {
  bytes: number;
};

export interface LoadResult {
  bytes: number;
  seconds: number;
  stagingBytes: number;
  threads: number;
  /** 16 bytes, as `checksum` computes them; with `checksumBytes` only. */
  checksum?: Buffer;
}

/** A flag that a running load looks at between chunks. */
export interface NativeCancel {
  cancel(): void;
}

/** What holds a process to its driver: see `pinProvider`. */
export interface NativeProviderPin {
  /** What it names stays chosen when it is closed; without that, and without a name, the choice is what it was. */
  keep(): void;
  /** Harmless when closed already. */
  close(): void;
}

export interface DeviceFacts {
  ordinal: number;
  /** As nvidia-smi prints it: "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx". */
  uuid: string;
  name: string;
  totalBytes: number;
  computeCapability: [major: number, minor: number];
  pciBusId: string;
  multiprocessors: number;
  /** "default", "prohibited" or "exclusive-process". */
  computeMode: string;
  /** Whether `vmm` sharing works: virtual memory management and POSIX file descriptors. */
  vmm: boolean;
}

export interface NativeAddon {
  setErrorFactory(factory: (info: { code: ErrorCode; message: string } & ErrorFacts) => Error): void;

  // fd.cc, channel.cc, process.cc, file_lock.cc
  /** Takes ownership of a descriptor number (sets close-on-exec). */
  adoptFd(fd: number): NativeFd;
  /** A file in memory that is nowhere in a file system: `bytes` zeros. The name is for people who look in /proc. */
  createMemfd(name: string, bytes: number): NativeFd;
  /** The same with this content, which nobody can change any more. */
  createSealedMemfd(name: string, content: Uint8Array): NativeFd;
  /** Binds, chmods and listens; `onConnection` gets a paused channel: call `start` with its events. */
  listen(
    socketPath: string,
    options: { mode: number; backlog: number; shelf?: NativeShelf },
    onConnection: (channel: NativeChannel) => void,
    onError: (error: Error) => void,
  ): NativeListener;
  /**
   * Goes on with a listening socket from `detach`, in this process or another. The descriptor stays the caller's.
   * `shared`: whoever else has the socket goes on listening when it is closed here.
   */
  adoptListener(
    socket: NativeFd,
    onConnection: (channel: NativeChannel) => void,
    onError: (error: Error) => void,
    shared?: boolean,
    shelf?: NativeShelf,
  ): NativeListener;
  /** An empty one. It serves peers of these users; nobody else is sent anything. */
  createShelf(uids: readonly number[]): NativeShelf;
  /** Connects without blocking the event loop; ERR_CUDA_IPC_NO_OWNER when nobody listens. */
  connect(socketPath: string): Promise<NativeChannel>;
  /** The same at once, as it can be as a rule; undefined while the owner's backlog is full. */
  tryConnect(socketPath: string): NativeChannel | undefined;
  /**
   * The same, with a client's first words on their way before anything else is done: the frame of its hello, and the
   * request for a lease whose memory may come ahead, as JSON. The channel is watched for that grant: see `watchGrants`.
   */
  ask(
    socketPath: string,
    hello: Uint8Array,
    request: string,
    lease: string,
    access: Access,
  ): { channel: NativeChannel; grants: NativeGrants } | undefined;
  /**
   * When this environment has ended and let go of all that it had mapped, while its process lives on: says `opening` (the
   * frame of a hello) and the requests in the testament to the owner at that path, and to the next one there, until one
   * has answered all of them. They must be harmless when repeated. Given up where nobody listens and there is no file
   * `journal`: no owner is to be expected there. Undefined on the main thread, which its process ends with.
   */
  testament(socketPath: string, journal: string, opening: Uint8Array): NativeTestament | undefined;
  /**
   * Two connected ends: a channel for here, and a descriptor for a child to inherit, who calls `adoptChannel`. The
   * peer of both is this process, which made them.
   */
  socketPair(): [NativeChannel, NativeFd];
  /** A channel on a connected SOCK_STREAM Unix socket. Takes the descriptor over: `fd` is closed then. */
  adoptChannel(fd: NativeFd, shelf?: NativeShelf): NativeChannel;
  /** Begins delivery on a channel from `listen`, `connect`, `socketPair` or `adoptChannel`. */
  startChannel(channel: NativeChannel, events: ChannelEvents): void;
  /** Watches a process by pid; refuses (ERR_CUDA_IPC_PEER_UNPROVEN) when `startTime` is given and differs. */
  watchProcess(pid: number, startTime: string | undefined, onExit: () => void): NativeProcess;
  /**
   * Has the kernel end this process with SIGKILL when the thread that started it ends. A parent that is dead already
   * shows by end-of-file on whatever it shared.
   */
  dieWithParent(): void;
  /** Opens (0600, close-on-exec) and locks the file without waiting; undefined when somebody else holds it. */
  lockFile(file: string): NativeFileLock | undefined;
  /** The lock that a descriptor from `duplicate` holds. The descriptor stays the caller's. */
  adoptLock(file: NativeFd): NativeFileLock;

  // notify.cc
  /**
   * Sends one datagram to a service manager's notification socket: a path, or an abstract name behind "@". Does not
   * block; false when it cannot be taken yet: try again. The descriptors stay the caller's.
   */
  notify(address: string, bytes: Uint8Array, fds?: NativeFd[]): boolean;
  /**
   * Whether the descriptor of that number is a listening socket: its path in the file system, "" where it has none;
   * undefined for anything else. The descriptor is only looked at.
   */
  listeningPath(fd: number): string | undefined;

  // random.cc
  /** 128 random bits as 32 hex characters. */
  randomId(): string;

  // device.cc
  /**
   * Until it is closed, no other driver can be chosen in this process: ERR_CUDA_IPC_DRIVER_IN_USE. Without a name, of what
   * is chosen or would be.
   */
  pinProvider(name?: string): NativeProviderPin;
  /** What is chosen or would be: "libcuda" or "host". */
  chosenProvider(): "libcuda" | "host";
  driverIsUp(): boolean;
  driverVersion(): Promise<number>;
  devices(): Promise<DeviceFacts[]>;
  findDevice(uuid: string): Promise<number | undefined>;
  /** Brings up the device's primary context. */
  initializeDevice(device: number): Promise<void>;
  memoryInfo(device: number): Promise<{ freeBytes: number; totalBytes: number }>;
  synchronizeDevice(device: number): Promise<void>;

  // memory.cc, ipc.cc, vmm.cc, stream.cc, event.cc, module.cc: the raw layer
  memAlloc(device: number, bytes: number): Promise<bigint>;
  memFree(device: number, pointer: bigint): Promise<void>;
  memcpyHtoD(device: number, target: bigint, source: Uint8Array, stream?: NativeStream): Promise<void>;
  memcpyDtoH(device: number, target: Uint8Array, source: bigint, stream?: NativeStream): Promise<void>;
  memcpyDtoD(
    device: number,
    target: bigint,
    source: bigint,
    bytes: number,
    stream?: NativeStream,
  ): Promise<void>;
  /** `width` is the element's size in bytes, `count` the number of elements. */
  memset(
    device: number,
    pointer: bigint,
    value: number,
    width: 1 | 2 | 4,
    count: number,
    stream?: NativeStream,
  ): Promise<void>;

  pointerAttributes(device: number, pointer: bigint): Promise<PointerFacts>;
  /** Refuses a pointer into the middle of an allocation (ERR_CUDA_IPC_INTERIOR_POINTER). */
  ipcGetMemHandle(device: number, pointer: bigint): Promise<Buffer>;
  /** Opens of one handle are counted per process. */
  ipcOpenMemHandle(device: number, handle: Uint8Array): Promise<bigint>;
  ipcCloseMemHandle(pointer: bigint): Promise<void>;
  createVmm(device: number, bytes: number): Promise<NativeVmm>;
  /** The descriptor is duplicated. `bytes`: all of the allocation. */
  importVmm(device: number, fd: NativeFd, bytes: number): Promise<NativeVmm>;
  createStream(device: number, nonBlocking: boolean): Promise<NativeStream>;
  createEvent(
    device: number,
    options: { interprocess: boolean; timing: boolean; blockingSync: boolean },
  ): Promise<NativeEvent>;
  ipcOpenEventHandle(device: number, handle: Uint8Array): Promise<NativeEvent>;
  /** Milliseconds between two recorded events that are done. */
  eventElapsedTime(start: NativeEvent, end: NativeEvent): number;
  loadModule(device: number, image: Uint8Array): Promise<NativeModule>;
  /** One module per process and device, never unloaded. ERR_CUDA_IPC_KERNELS_NOT_BUILT where there is none. */
  loadBuiltinModule(device: number): Promise<NativeModule>;

  // manifest.cc
  /**
   * The content of a manifest file, which stays the caller's, when it has been held against the version's slabs: their
   * bytes. Throws ERR_CUDA_IPC_PROTOCOL, with what is wrong, and the name of the tensor in `details`.
   */
  openManifest(file: NativeFd, slabs: readonly number[]): ArrayBuffer;
  /** Which tensor of such a content has that name. */
  findTensor(manifest: ArrayBuffer, name: string): number | undefined;

  // slab.cc
  createSlab(options: { id: Buffer; device: number; bytes: number; sharing: Sharing }): Promise<NativeSlab>;
  /**
   * Maps a slab, or counts one more reference on the mapping this process has already (keyed by the slab's
   * 16-byte id, the device and the access). The descriptor is duplicated. An `ipc` slab made by this process
   * is not opened but counted. ERR_CUDA_IPC_STALE_HANDLE when its exporter is dead, ERR_CUDA_IPC_DEVICE_NOT_VISIBLE
   * when there is no device with that UUID.
   */
  openSlab(source: SlabOpening): Promise<NativeMapping>;
  /**
   * From now on, a device whose context comes up has a little memory mapped and unmapped, which a first mapping then need
   * not pay for. Not where the context comes up for a mapping.
   */
  rehearseMappings(): void;
  /**
   * Has what is granted on a channel of a client opened early, from now on: what arrives is kept for `startChannel`, which
   * is to be called later.
   */
  watchGrants(channel: NativeChannel): NativeGrants;
  /** For tests and metrics: what the process-wide table holds. */
  mappingStatistics(): { mappings: number; references: number };

  // load.cc, checksum.cc
  createCancel(): NativeCancel;
  load(options: LoadOptions): Promise<LoadResult>;
  /**
   * The checksum that the first `bytes` of a load's target have when they hold what the sources do, and zeros where no
   * run is: the sources are read and summed on the processor; no device is asked. Runs come in the order of their
   * targets, at multiples of 8.
   */
  checksumSources(options: ChecksumSourcesOptions): Promise<Buffer>;
  /** The 128-bit checksum (16 bytes) of device memory, computed on the device. */
  checksum(device: number, pointer: bigint, bytes: number): Promise<Buffer>;
}

function loadAddon(): NativeAddon {
  const file = path.join(__dirname, "../../build/Release/cuda_ipc.node");
  try {
    const addon = require(file) as NativeAddon;
    addon.setErrorFactory(({ code, message, ...facts }) => new CudaIpcError(code, message, facts));
    return addon;
  } catch (cause) {
    throw new CudaIpcError(
      "ERR_CUDA_IPC_ADDON",
      `The native addon could not be loaded from ${file}. It is built by \`npm rebuild cuda-ipc\`, which needs a ` +
        `C++17 compiler, make and python3 (Debian: apt-get install g++ make python3). ${(cause as Error).message}`,
      { cause },
    );
  }
}

export const native: NativeAddon = loadAddon();
