// Stands between a worker and an owner, and hands on what they say, descriptors and all.
import { mkdirSync } from "node:fs";
import path from "node:path";
import { onTestFinished } from "vitest";
import { type ChannelEvents, type NativeChannel, type NativeFd, native } from "../../dist/lib/native.js";

export interface Relay {
  /** How many connections it has ended. */
  readonly cuts: number;
  /** When the test is over at the latest. */
  close(): void;
}

/**
 * Relays from one socket to another. The worker receives so many bytes of a connection, and then its end, as does the owner.
 */
export function startRelay(from: string, to: string, limit: () => number): Relay {
  let cuts = 0;
  const open = new Set<NativeChannel>();
  mkdirSync(path.dirname(from), { recursive: true, mode: 0o700 });
  const begin = (near: NativeChannel) => {
    const left = { bytes: limit() };
    const far = native.tryConnect(to)!;
    open.add(near).add(far);
    const end = () => {
      for (const one of [near, far]) {
        open.delete(one);
        one.close();
      }
    };
    const handOn = (target: NativeChannel, most: { bytes: number }): ChannelEvents => ({
      onData: (bytes, fds) => {
        const part = bytes.subarray(0, most.bytes);
        most.bytes -= part.length;
        if (part.length > 0) send(target, part, fds);
        for (const fd of fds) fd.close();
        // The rest is lost, and the worker's end comes to the owner as that of a connection would.
        if (most.bytes === 0) {
          cuts++;
          end();
        }
      },
      onDrain: () => {},
      onClose: end,
    });
    native.startChannel(near, handOn(far, { bytes: Number.POSITIVE_INFINITY }));
    native.startChannel(far, handOn(near, left));
  };
  const listener = native.listen(from, { mode: 0o600, backlog: 8 }, begin, () => {});
  const close = () => {
    listener.close();
    for (const one of open) one.close();
    open.clear();
  };
  onTestFinished(close);
  return {
    close,
    get cuts() {
      return cuts;
    },
  };
}

function send(target: NativeChannel, bytes: Buffer, fds: readonly NativeFd[]): void {
  try {
    target.send(Buffer.from(bytes), [...fds]);
  } catch {
    // It has ended.
  }
}
