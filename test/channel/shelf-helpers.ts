// A shelf, and both ends of a connection that it serves.
import { readdirSync, readlinkSync, readSync } from "node:fs";
import { onTestFinished } from "vitest";
import { type NativeChannel, type NativeFd, type NativeShelf, native } from "../../dist/lib/native.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { type End, started } from "./helpers.js";

export const waitMs = 10_000;
export const me = process.getuid!();
export const hello = encodeFrame({ fds: 0, type: "hello", protocol: [1] });

export function request(lease: string, change: object = {}): Buffer {
  const body = { id: 1, set: "llm", version: null, checksum: null, access: "read", lease, ahead: true };
  return encodeFrame({ fds: 0, type: "attach", ...body, ...change });
}

export function file(text: string): NativeFd {
  return native.createSealedMemfd("shelf", Buffer.from(text));
}

/** How many descriptors for such files this process has. */
export function openFiles(): number {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // the one that listed them
    }
  });
  return links.filter((link) => link.startsWith("/memfd:shelf")).length;
}

export function textOf(fd: NativeFd | undefined): string {
  const buffer = Buffer.alloc(64);
  return buffer.toString("utf8", 0, readSync(fd!.fd, buffer, 0, buffer.length, 0));
}

export function shelfWith(
  version: string,
  frames: string,
  fds = 0,
  shelf = native.createShelf([me]),
): NativeShelf {
  const files = Array.from({ length: fds }, (_, i) => file(`${version} ${i}`));
  shelf.put("llm", version, "c1", Buffer.from(frames), files);
  for (const each of files) each.close();
  onTestFinished(() => shelf.clear());
  return shelf;
}

export interface Served {
  near: End;
  /** Has not been started. */
  far: NativeChannel;
}

/** The client's end of a connection that has said this much before the owner's was made. */
export function served(shelf: NativeShelf | undefined, first: Buffer): Served {
  const [channel, fd] = native.socketPair();
  const near = started(channel);
  channel.send(first);
  const far = native.adoptChannel(fd, shelf);
  onTestFinished(() => {
    near.events.closeFds();
    channel.close();
    far.close();
  });
  return { near, far };
}

/** Everything that the client gets before the owner's next word. */
export async function heardBefore({ near, far }: Served): Promise<string> {
  const word = "|word";
  far.send(Buffer.from(word));
  await near.events.until(() => near.events.bytes().toString().endsWith(word));
  return near.events.bytes().toString().slice(0, -word.length);
}

export const all = (...parts: Buffer[]) => Buffer.concat(parts);

/** Looks once in every turn of the event loop. */
export async function eventually(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("it has not come to that");
    await new Promise(setImmediate);
  }
}
