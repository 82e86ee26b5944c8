import { CudaIpcError } from "../errors.js";
import {
  type NativeChannel,
  type NativeFd,
  type NativeFileLock,
  type NativeProcess,
  native,
} from "../native.js";
import { checkedChange } from "../wire/check.js";
import { ClientConnection } from "../wire/client.js";
import { isLost, pause } from "./patience.js";
import { ReceivedMemory } from "./received-memory.js";
import { software } from "./software.js";
import { StoredState } from "./stored-state.js";

/** Everything a running owner has given to this process. It stands still until `taken` is called. */
export interface Handover {
  readonly lock: NativeFileLock;
  /** The listening socket: who connects meanwhile waits in it. */
  readonly listener: NativeFd;
  readonly state: StoredState;
  readonly memory: ReceivedMemory;
  /**
   * This process is able to listen: the old owner lets go and ends. From then on it does not go on, whatever becomes of
   * this process. Rejects when it refuses, or nobody can tell whether it has let go: then it goes on.
   */
  taken(): Promise<void>;
  /** Something failed here: the old owner goes on. */
  giveUp(): void;
}

/** How long an owner whose connection is gone may take to be dead: its files are closed before it is. */
const dyingMs = 10_000;

/**
 * Asks the owner on the socket to hand everything over. Rejects with its refusal, ERR_CUDA_IPC_HANDOVER_IPC among them
 * (memory shared as `ipc` dies with its exporter), or with ERR_CUDA_IPC_NO_OWNER.
 */
export async function receiveHandover(
  socket: string,
  { signal, dying = dyingMs }: { signal?: AbortSignal; dying?: number } = {},
): Promise<Handover> {
  const channel = await native.connect(socket);
  const giver = watchDeath(channel);
  const connection = new ClientConnection({
    channel,
    start: native.startChannel,
    hello: { client: software, driver: { provider: native.chosenProvider(), version: null }, devices: null },
  });
  const memory = new ReceivedMemory();
  const state = new StoredState();
  let rest: NativeFd[] = [];
  let lock: NativeFileLock | undefined;
  let listener: NativeFd | undefined;
  const giveUp = () => {
    giver.close();
    lock?.close();
    listener?.close();
    memory.dropAll();
    for (const fd of rest) fd.close();
    connection.close();
  };
  try {
    const { message, fds } = await connection.request("handover", {}, { signal });
    rest = fds;
    for (const change of message.changes) state.apply(checkedChange(change));
    const [lockFd, listenerFd] = rest.splice(0, 2);
    if (lockFd === undefined || listenerFd === undefined) throw broken();
    rest.push(lockFd);
    listener = listenerFd;
    lock = native.adoptLock(lockFd);
    rest.pop();
    lockFd.close();
    for (const entry of message.memories) {
      const slabs = rest.splice(0, state.versions.get(entry.version)?.slabs.length ?? 0);
      if (!memory.add(state, entry, slabs)) throw broken();
    }
    if (rest.length > 0) throw broken();
  } catch (error) {
    giveUp();
    throw error;
  }
  return {
    lock,
    listener,
    state,
    memory,
    giveUp,
    async taken() {
      try {
        await connection.request("handoverTaken", {});
      } catch (error) {
        // Whoever lives may have ended the connection to go on. Whoever is dead has let go as well.
        const dead = isLost(error) && (await giver.died(dying));
        if (!dead) throw error;
      }
      giver.close();
      connection.close();
    },
  };
}

/** The death of the process at the other end. One whose death cannot be proven is never dead. */
function watchDeath(channel: NativeChannel) {
  const dead = new AbortController();
  let watch: NativeProcess | undefined;
  try {
    watch = channel.watchPeer(() => dead.abort());
  } catch {
    // Nobody will tell.
  }
  return {
    async died(milliseconds: number): Promise<boolean> {
      if (watch !== undefined) await pause(milliseconds, dead.signal).catch(() => {});
      return dead.signal.aborted;
    },
    close: () => watch?.close(),
  };
}

function broken(): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_PROTOCOL",
    "What the owner handed over does not fit its own description.",
  );
}
