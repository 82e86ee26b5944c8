// An owner that ends while it is being asked, over a connection that nobody needed.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { attach } from "../../dist/lib/index.js";
import { type NativeChannel, native } from "../../dist/lib/native.js";
import { journalPath } from "../../dist/lib/sharing/socket-path.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { FrameDecoder } from "../../dist/lib/wire/framing.js";
import { inspect } from "../helpers/inspect.js";
import { endAfterOwners } from "../helpers/leaks.js";
import { folder } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";
import { example } from "../wire/examples.js";

interface Request {
  type: string;
  id: number;
  lease: string;
  leases: string[];
}

/** An owner that has no set, in words alone; `hear` may end it. */
function playOwner(socket: string, hear: (request: Request, end: () => void) => void) {
  const lines: NativeChannel[] = [];
  const listener = native.listen(
    socket,
    { mode: 0o600, backlog: 1 },
    (line) => {
      lines.push(line);
      const frames = new FrameDecoder();
      const say = (message: object) => line.send(encodeFrame({ fds: 0, ...message }));
      const answer = (request: Request) => {
        let ended = false;
        hear(request, () => {
          ended = true;
          end();
        });
        if (ended) return;
        const { type, id: re } = request;
        if (type === "hello") {
          say({ ...example("welcome"), driver: { provider: "host", version: null }, recovering: false });
        }
        if (type === "release") say({ ...example("released"), re });
        if (type === "attach") say({ ...example("error"), re, code: "ERR_CUDA_IPC_NO_SET", message: "no" });
      };
      native.startChannel(line, {
        onData: (bytes) => frames.push(bytes, [], ({ message }) => answer(message as never)),
        onDrain: () => {},
        onClose: () => {},
      });
    },
    () => expect.unreachable(),
  );
  const end = () => {
    listener.close();
    for (const line of lines) line.close();
  };
  return end;
}

test("it may have granted what it was asked for: its successor hears that nobody has it", async () => {
  const socket = newSocket(folder);
  mkdirSync(path.dirname(socket), { recursive: true });
  writeFileSync(journalPath(socket), "");
  const asked: string[] = [];
  playOwner(socket, ({ type, lease }, end) => {
    if (type === "attach") asked.push(lease);
    if (asked.length === 2) end();
  });
  const noSet = { code: "ERR_CUDA_IPC_NO_SET" };
  await expect(attach("llm", { socket })).rejects.toMatchObject(noSet);

  const connecting = vi.spyOn(native, "connect");
  onTestFinished(() => connecting.mockRestore());
  const attaching = expect(attach("llm", { socket })).rejects.toMatchObject(noSet);
  // It is asked for again where nobody listens any more.
  await inspect.watchFor(
    () => connecting.mock.settledResults[0]?.type,
    (type) => type === "rejected",
  );
  rmSync(socket);
  const released: string[] = [];
  const end = playOwner(socket, ({ type, leases }) => {
    if (type === "release") released.push(...leases);
  });
  endAfterOwners(async () => end());
  await attaching;
  const heard = () => released.includes(asked[1]!);
  expect(await inspect.watchFor(heard, (seen) => seen)).toBe(true);
});
