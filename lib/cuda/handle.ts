/** The 64 bytes that name CUDA memory or an event to another process, as PyTorch, CuPy and Numba exchange them. */
import { invalidArgument } from "../errors.js";
import { bytesOf } from "./check.js";

export const HANDLE_BYTES = 64;

/** What functions that take a handle accept: its bytes, or their base64. */
export type Handle = Uint8Array | string;

export function handleToBase64(handle: Uint8Array): string {
  return handleFromBytes(handle).toString("base64");
}

export function handleFromBase64(text: string): Buffer {
  // Buffer.from() skips what is not base64, so only a round trip shows that nothing was lost.
  const bytes = typeof text === "string" ? Buffer.from(text, "base64") : undefined;
  if (bytes?.length !== HANDLE_BYTES || bytes.toString("base64") !== text)
    throw invalidArgument("handle", `the base64 of ${HANDLE_BYTES} bytes`, text);
  return bytes;
}

/** The handle's bytes, whichever way it was given. */
export function toHandle(handle: Handle): Buffer {
  return typeof handle === "string" ? handleFromBase64(handle) : handleFromBytes(handle);
}

function handleFromBytes(handle: Uint8Array): Buffer {
  if (!ArrayBuffer.isView(handle)) throw invalidArgument("handle", "a Buffer or a base64 string", handle);
  const bytes = bytesOf(handle);
  if (bytes.length !== HANDLE_BYTES)
    throw invalidArgument("handle.byteLength", `${HANDLE_BYTES}`, bytes.length);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
