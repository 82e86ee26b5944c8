import { invalidArgument } from "../errors.js";
import { type Access, native } from "../native.js";
import { bringUpDriver } from "./bring-up.js";
import { isId } from "./ids.js";
import { resolveSocket } from "./socket-path.js";
import type { Weights } from "./weights.js";

export interface AttachOptions {
  /** Path of the owner's Unix socket; default: `defaultSocket()`. */
  socket?: string;
  /** The id of a version that is still held or pinned; default: the current one. */
  version?: string;
  /** Refuse any other content (ERR_CUDA_IPC_CHECKSUM_MISMATCH): `version.checksum` or `weights.checksum`. */
  checksum?: string;
  /** Default "read". "readwrite" needs a version published with `writable: true`. */
  access?: Access;
  /** "libcuda" or "host": see the README. Default: $CUDA_IPC_DRIVER, else libcuda. For the whole process. */
  driver?: "libcuda" | "host";
  /** Milliseconds until ERR_CUDA_IPC_TIMEOUT when the owner does not answer; default 10,000. */
  timeout?: number;
  signal?: AbortSignal;
}

// What attaching takes is loaded by the first attach, which has started CUDA by then, or else in the first turn that
// the program leaves to others: as a rule CUDA is coming up then. It is rehearsed there, too.
const loadClient = () => require("./owner-client.js") as typeof import("./owner-client.js");
const loadRehearsal = () => require("./rehearsal.js") as typeof import("./rehearsal.js");

let attached = false;
setImmediate(() => {
  if (!attached)
    loadRehearsal()
      .rehearse()
      .catch(() => {});
}).unref();

/**
 * Maps a weight set of the owner that listens on the socket into this process: no copy, one lease. Brings CUDA up
 * in this process on first use.
 *
 * Errors: ERR_CUDA_IPC_NO_OWNER (nobody listens), ERR_CUDA_IPC_NO_SET, ERR_CUDA_IPC_NO_VERSION,
 * ERR_CUDA_IPC_DEVICE_NOT_VISIBLE (the weights are on a device that this process cannot see),
 * ERR_CUDA_IPC_TIMEOUT, ERR_CUDA_IPC_FORBIDDEN, and those of the driver. After any of them nothing is held.
 */
export async function attach(name: string, options: AttachOptions = {}): Promise<Weights> {
  const { version = null, checksum = null, access = "read", timeout = 10_000, signal } = options;
  if (typeof name !== "string" || name === "")
    throw invalidArgument("name", "the name of a weight set", name);
  if (version !== null && !isId(version)) throw invalidArgument("version", "the id of a version", version);
  if (checksum !== null && !isId(checksum)) throw invalidArgument("checksum", "32 hex characters", checksum);
  if (access !== "read" && access !== "readwrite") {
    throw invalidArgument("access", '"read" or "readwrite"', access);
  }
  if (typeof timeout !== "number" || !(timeout > 0))
    throw invalidArgument("timeout", "milliseconds", timeout);
  const socket = resolveSocket(options.socket);
  if (options.driver !== undefined) native.chooseProvider(options.driver);
  signal?.throwIfAborted();
  attached = true;
  bringUpDriver();
  return loadClient().clientOf(socket).attach({ set: name, version, checksum, access }, { timeout, signal });
}
