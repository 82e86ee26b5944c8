import { checkOptions, checkSignal, invalidArgument, optionNames } from "../errors.js";
import type { Access } from "../native.js";
import { isId } from "./ids.js";
import { checkSetName } from "./set-name.js";
import { resolveSocket } from "./socket-path.js";
import { checkTimeout } from "./timeouts.js";

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

export const attachOptions = optionNames<AttachOptions>({
  socket: true,
  version: true,
  checksum: true,
  access: true,
  driver: true,
  timeout: true,
  signal: true,
});

/** The options of an attach, checked. ERR_CUDA_IPC_INVALID_ARGUMENT, ERR_CUDA_IPC_SOCKET_PATH. */
export function attachRequest(name: string, options: AttachOptions) {
  checkOptions(options, attachOptions);
  const { version = null, checksum = null, access = "read", timeout = 10_000, signal } = options;
  checkSetName(name);
  if (version !== null && !isId(version)) {
    throw invalidArgument(
      "version",
      "the id of a version (32 lower-case hex characters, not its number)",
      version,
    );
  }
  if (checksum !== null && !isId(checksum))
    throw invalidArgument("checksum", "32 lower-case hex characters", checksum);
  if (access !== "read" && access !== "readwrite") {
    throw invalidArgument("access", '"read" or "readwrite"', access);
  }
  checkTimeout(timeout);
  return {
    socket: resolveSocket(options.socket),
    request: { set: name, version, checksum, access },
    limits: { timeout, signal: checkSignal(signal) },
  };
}
