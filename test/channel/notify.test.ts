// What a service manager is told, and what it passes.
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { expect, test } from "vitest";
import { type NativeChannel, native } from "../../dist/lib/native.js";
import { temporaryFolder } from "../helpers/temporary.js";

const folder = temporaryFolder();
const noError = (error: Error) => {
  throw error;
};

test.each([path.join(folder, "nobody"), "@cuda-ipc-nobody"])("nobody receives at %s", (address) => {
  expect(() => native.notify(address, Buffer.from("READY=1"))).toThrowError(
    expect.objectContaining({ code: "ERR_CUDA_IPC_SERVICE_MANAGER" }),
  );
});

test("an address that is too long, and arguments of other types, are refused", () => {
  expect(() => native.notify(`/${"x".repeat(200)}`, Buffer.alloc(1))).toThrowError(
    expect.objectContaining({ code: "ERR_CUDA_IPC_SOCKET_PATH" }),
  );
  for (const args of [[1], ["/x", "text"], ["/x", Buffer.alloc(1), 3], ["/x", Buffer.alloc(1), [3]]]) {
    expect(() => (native.notify as (...args: unknown[]) => void)(...args)).toThrowError(
      expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" }),
    );
  }
});

test("a listening socket tells its path, other descriptors nothing", async () => {
  const file = path.join(folder, "listening.sock");
  const listener = native.listen(file, { mode: 0o600, backlog: 1 }, () => {}, noError);
  const socket = listener.detach();
  expect(native.listeningPath(socket.fd)).toBe(file);
  socket.close();

  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  expect(native.listeningPath(fd)).toBe("");
  server.close();

  const plain = openSync("/dev/null", "r");
  expect(native.listeningPath(plain)).toBeUndefined();
  closeSync(plain);
  expect(native.listeningPath(plain)).toBeUndefined();
});

test("a shared socket listens on when it is closed here", async () => {
  const file = path.join(folder, "shared.sock");
  const socket = native.listen(file, { mode: 0o600, backlog: 16 }, () => {}, noError).detach();
  native.adoptListener(socket, () => {}, noError, true).close();
  const client = await native.connect(file);
  const accepted = await new Promise<NativeChannel>((resolve) => {
    const listener = native.adoptListener(
      socket,
      (channel) => {
        listener.close();
        resolve(channel);
      },
      noError,
    );
  });
  accepted.close();
  client.close();
  // Not shared, it was closed for everybody.
  await expect(native.connect(file)).rejects.toMatchObject({ code: "ERR_CUDA_IPC_NO_OWNER" });
  socket.close();
});

test("what is sealed cannot be changed", () => {
  const content = Buffer.from("tensors");
  const file = native.createSealedMemfd("sealed", content);
  content.fill(0);
  expect(readFileSync(`/proc/self/fd/${file.fd}`, "utf8")).toBe("tensors");
  expect(() => writeSync(file.fd, "other", 0)).toThrowError(expect.objectContaining({ code: "EPERM" }));
  file.close();
});
