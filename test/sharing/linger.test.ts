// The connection to an owner outlives its last lease for a moment.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { startChild } from "../helpers/child.js";
import { folder, someTensors, startOwner, startWorker } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

const connections = (worker: Awaited<ReturnType<typeof startWorker>>) => worker.call<string[]>("connections");

test("who attaches again finds the connection, which keeps no process alive", async () => {
  const owner = await startOwner();
  await owner.load("set", someTensors());
  const worker = await startWorker();
  // A rehearsal may be under way still, which ends with the first attach.
  const resources = (await worker.call<string[]>("resources")).filter(
    (name) => name !== "Immediate" && name !== "Timeout",
  );
  await worker.call("attachThenRelease", "set", { socket: owner.socket });
  const first = await connections(worker);
  expect(first).toHaveLength(1);
  expect(owner.current("set")!.refCount).toBe(0);
  expect(await worker.call("resources")).toEqual(resources);
  await worker.call("attachThenRelease", "set", { socket: owner.socket });
  expect(await connections(worker)).toEqual(first);
});

test("it is closed by itself, and by disconnect() at once", async () => {
  const owner = await startOwner();
  await owner.load("set", someTensors());
  const worker = await startWorker();
  await worker.call("attachThenRelease", "set", { socket: owner.socket });
  expect(await worker.call("connectionsGone")).toBe(true);

  await worker.call("attachThenRelease", "set", { socket: owner.socket });
  expect(await connections(worker)).toHaveLength(1);
  await worker.call("disconnect");
  expect(await connections(worker)).toHaveLength(0);
});

test("disconnect() leaves a connection alone whose leases it would end", async () => {
  const owner = await startOwner();
  const version = await owner.load("set", someTensors());
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "set", { socket: owner.socket });
  await worker.call("disconnect");
  expect(await worker.call("refCount", key)).toEqual({ count: 1, exact: true });
  expect(version.refCount).toBe(1);
  await worker.call("release", key);
});

test("an owner is closed at once, whoever lingers", async () => {
  const owner = await startOwner();
  await owner.load("set", someTensors());
  const worker = await startWorker();
  await worker.call("attachThenRelease", "set", { socket: owner.socket });
  await owner.close();
  expect(await worker.call("connectionsGone")).toBe(true);
});

test("who attaches over the connection of an owner that has ended reaches its successor", async () => {
  const socket = newSocket(folder);
  const first = startChild("owner.cjs");
  await first.call("listen", { socket });
  await first.call("load", "set", someTensors());
  const worker = await startWorker();
  await worker.call("attachThenRelease", "set", { socket });

  const there = path.join(folder, "there");
  const attaching = worker.call<number>("attachOnceThere", there, "set", { socket });
  first.kill();
  await first.exited;
  const second = await startOwner({ socket });
  const version = await second.load("set", someTensors(2));
  writeFileSync(there, "");
  const key = await attaching;
  expect(await worker.call("facts", key)).toMatchObject({ version: { id: version.id } });
  await worker.call("release", key);
});
