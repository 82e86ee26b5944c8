import { checkOptions, checkSignal } from "../errors.js";
import { native } from "../native.js";
import { ClientConnection } from "../wire/client.js";
import type { LockStatus, SetStatus } from "../wire/values.js";
import { attemptUntil, isLost, type RequestLimits } from "./patience.js";
import { resolveSocket } from "./socket-path.js";
import { software } from "./software.js";
import { checkTimeout } from "./timeouts.js";

export interface OwnerStatusOptions {
  /** Path of the owner's Unix socket; default: `defaultSocket()`. */
  socket?: string;
  /** Milliseconds until ERR_CUDA_IPC_TIMEOUT when the owner does not answer; default 10,000. */
  timeout?: number;
  signal?: AbortSignal;
}

/** An owner, what it holds, and who holds that. */
export interface OwnerStatus {
  /** The absolute path that was asked. */
  socket: string;
  /** Random, 32 hex characters: this owner and no other. */
  id: string;
  pid: number;
  software: { name: string; version: string };
  /** The driver it runs on: "libcuda" or "host". */
  driver: string;
  /** It has taken over from one that died: its reference counts are lower bounds. */
  recovering: boolean;
  sets: SetStatus[];
  /** The named locks that are held, by whom, since when, and how many wait for each. */
  locks: LockStatus[];
}

/**
 * Asks the owner that listens on the socket what it holds. Needs no driver and no GPU.
 *
 * Errors: ERR_CUDA_IPC_NO_OWNER (nobody listens), ERR_CUDA_IPC_TIMEOUT, ERR_CUDA_IPC_FORBIDDEN.
 */
export async function ownerStatus(options: OwnerStatusOptions = {}): Promise<OwnerStatus> {
  checkOptions(options, ["socket", "timeout", "signal"]);
  const { timeout = 10_000, signal } = options;
  checkTimeout(timeout);
  const socket = resolveSocket(options.socket);
  checkSignal(signal)?.throwIfAborted();
  return attemptUntil(
    { timeout, signal },
    (left) => ask(socket, left),
    async (error) => isLost(error),
  );
}

async function ask(socket: string, { timeout, signal }: RequestLimits): Promise<OwnerStatus> {
  const channel = await native.connect(socket);
  const connection = new ClientConnection({
    channel,
    start: native.startChannel,
    // Nothing is mapped here, so it does not matter which driver the owner runs on.
    hello: { client: software, driver: { provider: "none", version: null }, devices: null },
  });
  try {
    const { message } = await connection.request("status", {}, { timeoutMs: timeout, signal });
    const { owner, server, driver, recovering } = await connection.welcome;
    const { id, pid } = owner;
    return {
      ...{ socket, id, pid, recovering },
      software: server,
      driver: driver.provider,
      sets: message.sets,
      locks: message.locks,
    };
  } finally {
    connection.close();
  }
}
