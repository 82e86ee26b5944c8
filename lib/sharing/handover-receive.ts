import { CudaIpcError } from "../errors.js";
import { type NativeFd, type NativeFileLock, native } from "../native.js";
import { checkedChange } from "../wire/check.js";
import { ClientConnection } from "../wire/client.js";
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
   * this process. Rejects when it refuses.
   */
  taken(): Promise<void>;
  /** Something failed here: the old owner goes on. */
  giveUp(): void;
}

/**
 * Asks the owner on the socket to hand everything over. Rejects with its refusal, ERR_CUDA_IPC_HANDOVER_IPC among them
 * (memory shared as `ipc` dies with its exporter), or with ERR_CUDA_IPC_NO_OWNER.
 */
export async function receiveHandover(socket: string, signal?: AbortSignal): Promise<Handover> {
  const connection = new ClientConnection({
    channel: await native.connect(socket),
    start: native.startChannel,
    hello: { client: software, driver: { provider: native.chosenProvider(), version: null }, devices: null },
  });
  const memory = new ReceivedMemory();
  const state = new StoredState();
  let rest: NativeFd[] = [];
  let lock: NativeFileLock | undefined;
  let listener: NativeFd | undefined;
  const giveUp = () => {
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
        // It goes on when it sees this connection end, which is open: it has died, and let go as well.
        if ((error as CudaIpcError).code !== "ERR_CUDA_IPC_CONNECTION_LOST") throw error;
      }
      connection.close();
    },
  };
}

function broken(): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_PROTOCOL",
    "What the owner handed over does not fit its own description.",
  );
}
