import { existsSync, openSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { type NativeChannel, native } from "../../dist/lib/native.js";
import { temporaryFolder } from "../helpers/temporary.js";

const folder = temporaryFolder();
const noError = (error: Error) => {
  throw error;
};

test("who connects after a listener was detached waits for whoever adopts the socket", async () => {
  const file = path.join(folder, "listener.sock");
  const first = native.listen(file, { mode: 0o600, backlog: 16 }, () => expect.unreachable(), noError);
  const socket = first.detach();
  expect(() => first.detach()).toThrowError(expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }));
  first.close();
  const client = await native.connect(file);

  const accepted = await new Promise<NativeChannel>((resolve) => {
    const second = native.adoptListener(
      socket,
      (channel) => {
        second.close();
        resolve(channel);
      },
      noError,
    );
    second.ref();
  });
  expect(accepted.peer.pid).toBe(process.pid);
  accepted.close();
  client.close();
  socket.close();
  expect(existsSync(file)).toBe(true);
});

test("a descriptor that is no listening socket is refused", async () => {
  const fd = native.adoptFd(openSync("/dev/null", "r"));
  expect(() => native.adoptListener(fd, () => {}, noError)).toThrowError(
    expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" }),
  );
  fd.close();
});

test("a lock travels with its descriptor and ends with the last one", () => {
  const file = path.join(folder, "owner.lock");
  const first = native.lockFile(file)!;
  const descriptor = first.duplicate();
  first.close();
  expect(native.lockFile(file)).toBeUndefined();
  const second = native.adoptLock(descriptor);
  descriptor.close();
  expect(native.lockFile(file)).toBeUndefined();
  expect(second.held).toBe(true);
  second.close();
  const third = native.lockFile(file);
  expect(third?.held).toBe(true);

  const stranger = native.adoptFd(openSync(file, "r+"));
  expect(() => native.adoptLock(stranger)).toThrowError(
    expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" }),
  );
  stranger.close();
  third!.close();
});
