import { openSync } from "node:fs";
import { expect, test } from "vitest";
import { native } from "../../dist/lib/native.js";
import { child, serve, socketPath, started } from "./helpers.js";

const limited = (limit: number) => ({ prefix: ["sh", "-c", `ulimit -n ${limit}; exec "$@"`, "sh"] });
const fine = { code: 0, signal: null, errors: "" };

test("descriptors lost at the receiver's limit end its channel with ERR_CUDA_IPC_FD_LIMIT, and leak none", async () => {
  const socket = socketPath();
  serve(socket, (channel) => {
    const file = native.adoptFd(openSync("/dev/null", "r"));
    channel.send(Buffer.alloc(100), Array<typeof file>(100).fill(file));
    file.close();
  });
  const other = child("receive_too_many", [socket], limited(64));
  expect(await other.exit).toEqual(fine);
  expect(other.lines).toEqual(["closed ERR_CUDA_IPC_FD_LIMIT", "leaked 0"]);
});

test("a listener at its limit says so once, does not spin, and goes on when descriptors are free again", async () => {
  const socket = socketPath();
  const other = child("accept_too_many", [socket], limited(64));
  await other.line("listening");
  const channels = await Promise.all(Array.from({ length: 60 }, () => native.connect(socket)));
  const ends = channels.map((channel) => started(channel));
  await other.line("limit ERR_CUDA_IPC_FD_LIMIT");
  other.process.stdin?.write("free\n");
  // Everybody is answered or, where the limit struck between the connection and its peer, hears its end.
  await Promise.all(
    ends.map(({ events }) => events.until(() => events.received > 0 || events.closes.length > 0)),
  );
  expect(ends.filter(({ events }) => events.received > 0).length).toBeGreaterThan(40);
  other.process.stdin?.end();
  expect(await other.exit).toEqual(fine);
  const busy = Number(other.lines.find((line) => line.startsWith("cpu"))?.split(" ")[1]);
  expect(busy).toBeLessThan(2_000);
});

test("sending at the limit is a coded error, not a broken stream", async () => {
  const socket = socketPath();
  serve(socket);
  const other = child("send_at_limit", [socket], limited(64));
  expect(await other.exit).toEqual(fine);
  expect(other.lines).toEqual(["ERR_CUDA_IPC_FD_LIMIT", "still open"]);
});

test("who lacks a descriptor for the answer has not asked", async () => {
  const socket = socketPath();
  const server = serve(socket);
  const other = child("ask_at_limit", [socket], limited(64));
  expect(await other.exit).toEqual(fine);
  expect(other.lines).toEqual(["ERR_CUDA_IPC_FD_LIMIT"]);
  // Connections are accepted in their order.
  await native.connect(socket);
  await server.changes.until(() => server.accepted.length > 0);
  expect(server.accepted[0]!.peer.pid).toBe(process.pid);
});
