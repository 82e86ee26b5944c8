// Who may listen on a socket, and what becomes of its file.
import { existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { Owner } from "../../dist/lib/index.js";
import { startChild } from "../helpers/child.js";
import { folder, someTensors, startOwner, startWorker } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

const running = { code: "ERR_CUDA_IPC_OWNER_RUNNING" };

test("a second owner is refused, in this process and in another", async () => {
  const { socket } = await startOwner();
  await expect(Owner.listen({ socket })).rejects.toMatchObject(running);
  await expect(startChild("owner.cjs").call("listen", { socket })).rejects.toMatchObject(running);
});

test("of several that race for a socket, one gets it", async () => {
  const socket = newSocket(folder);
  const owners = Array.from({ length: 6 }, () => startChild("owner.cjs"));
  const results = await Promise.allSettled(owners.map((owner) => owner.call("listen", { socket })));
  const refused = results.flatMap((result) => (result.status === "rejected" ? [result.reason.code] : []));
  expect(refused).toEqual(Array(5).fill("ERR_CUDA_IPC_OWNER_RUNNING"));
  const winner = owners[results.findIndex(({ status }) => status === "fulfilled")]!;
  await winner.call("load", "llm", someTensors());
  const worker = await startWorker();
  await worker.call("release", await worker.call("attach", "llm", { socket }));
});

test("the socket file of an owner that was killed is replaced", async () => {
  const socket = newSocket(folder);
  const dead = startChild("owner.cjs");
  await dead.call("listen", { socket });
  dead.kill("SIGKILL");
  await dead.exited;
  expect(existsSync(socket)).toBe(true);
  const owner = await startOwner({ socket });
  await owner.load("llm", someTensors());
  const worker = await startWorker();
  await worker.call("attachThenRelease", "llm", { socket });
});

test("whoever connects before there is an owner is told so", async () => {
  const worker = await startWorker();
  const socket = newSocket(folder);
  await expect(worker.call("attach", "llm", { socket })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_NO_OWNER",
  });
  const owner = await startOwner({ socket });
  await owner.load("llm", someTensors());
  await worker.call("attachThenRelease", "llm", { socket });
});

test("socket and folder are the owner's own", async () => {
  const { socket } = await startOwner();
  const mode = (file: string) => (statSync(file).mode & 0o777).toString(8);
  expect(mode(socket)).toBe("600");
  expect(mode(path.dirname(socket))).toBe("700");
  expect(mode(`${socket}.lock`)).toBe("600");
});

test("the socket of a closed owner is gone and free", async () => {
  const owner = await startOwner();
  await owner.close();
  await owner.close();
  expect(existsSync(owner.socket)).toBe(false);
  await startOwner({ socket: owner.socket });
});

test("a path that the kernel cannot take is refused, by owner and worker", async () => {
  const socket = path.join(folder, "x".repeat(100), "owner.sock");
  const refused = { code: "ERR_CUDA_IPC_SOCKET_PATH", message: expect.stringContaining("107") };
  await expect(Owner.listen({ socket })).rejects.toMatchObject(refused);
  await expect(startChild().call("attach", "llm", { socket })).rejects.toMatchObject(refused);
});

test("a lock file that is a link is not followed", async () => {
  const socket = newSocket(folder);
  mkdirSync(path.dirname(socket), { mode: 0o700 });
  const elsewhere = path.join(folder, "elsewhere");
  writeFileSync(elsewhere, "mine");
  symlinkSync(elsewhere, `${socket}.lock`);
  await expect(Owner.listen({ socket })).rejects.toMatchObject({
    code: expect.stringMatching(/^ERR_CUDA_IPC_/),
  });
});
