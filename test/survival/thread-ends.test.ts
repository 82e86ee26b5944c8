// Worker threads that end while there is no owner to hear it, in a process that lives on.
import { rmSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ownerStatus } from "../../dist/lib/index.js";
import { type NativeChannel, native } from "../../dist/lib/native.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { FrameDecoder } from "../../dist/lib/wire/framing.js";
import { type Child, startChild } from "../helpers/child.js";
import { inspect } from "../helpers/inspect.js";
import { endAfterOwners } from "../helpers/leaks.js";
import { sharings, someTensors } from "../helpers/sharing.js";
import { kill, startMortal, startSuccessor, stop } from "../helpers/survival.js";

async function startThreads(socket: string, count: number): Promise<Child> {
  const child = startChild("threads.cjs");
  await child.call("warmUp");
  for (let n = 0; n < count; n++) await child.call("attach", { socket });
  return child;
}

describe.each(sharings)("%s", (sharing) => {
  async function published() {
    const old = await startMortal();
    const version = await old.load("llm", someTensors(), { sharing });
    return { old, socket: old.socket, version };
  }

  test("the next owner hears of it from the process, and has recovered", async () => {
    const { old, socket } = await published();
    const child = await startThreads(socket, 1);
    await kill(old.child);
    await child.call("terminate", 0);
    const { owner } = await startSuccessor(socket);
    await owner.whenRecovered();
    expect(owner.versions()).toEqual([]);
    expect(await child.call("mappings")).toEqual({ mappings: 0, references: 0 });
  });

  test("leases of the threads that live on are not concerned", async () => {
    const { old, socket, version } = await published();
    const child = await startThreads(socket, 3);
    await kill(old.child);
    await child.call("terminate", 0);
    await child.call("terminate", 2);
    const { owner } = await startSuccessor(socket);
    await owner.whenRecovered();
    expect(owner.versions()).toMatchObject([{ id: version.id, refCount: 1, refCountExact: true }]);
    await child.call("release", 1);
    await owner.versions()[0]?.waitForRefCount((count) => count === 0);
  });

  test("an owner that reads nothing hears of it when it reads again", async () => {
    const { old, socket, version } = await published();
    const child = await startThreads(socket, 1);
    await stop(old.child);
    await child.call("terminate", 0);
    old.child.resume();
    await old.child.call("waitForRefCount", version.id, 0);
  });

  test("and the one after it, when it dies before", async () => {
    const { old, socket } = await published();
    const child = await startThreads(socket, 1);
    await stop(old.child);
    // Its farewell is in the owner's socket by now, and goes with that.
    await child.call("terminate", 0);
    await kill(old.child);
    const { owner } = await startSuccessor(socket);
    await owner.whenRecovered();
    expect(child.exit).toBeUndefined();
  });
});

describe("a named lock", () => {
  async function locked() {
    const old = await startMortal();
    const version = await old.load("llm", someTensors(), { writable: true });
    const child = await startThreads(old.socket, 2);
    await child.call("lock", 0, "of the one");
    await child.call("lock", 1, "of the other");
    return { old, socket: old.socket, version, child };
  }

  test("is free at the next owner, and those of other threads are theirs", async () => {
    const { old, socket, child } = await locked();
    await kill(old.child);
    await child.call("terminate", 0);
    const { owner } = await startSuccessor(socket);
    await owner.whenRecovered();
    expect(owner.locks()).toMatchObject([{ name: "of the other", pid: child.pid }]);
    await child.call("release", 1);
    await inspect.watchFor(
      () => owner.locks().length,
      (held) => held === 0,
    );
  });

  test("is free at an owner that read nothing when it reads again", async () => {
    const { old, socket, version, child } = await locked();
    await stop(old.child);
    await child.call("terminate", 0);
    old.child.resume();
    await old.child.call("waitForRefCount", version.id, 1);
    const { locks } = await ownerStatus({ socket });
    expect(locks).toMatchObject([{ name: "of the other", pid: child.pid }]);
    await child.call("release", 1);
  });

  test("is free although its lease had ended with the connection", async () => {
    const { old, socket, version, child } = await locked();
    await child.call("breakConnection", 0);
    await old.child.call("waitForRefCount", version.id, 1);
    await child.call("terminate", 0);
    const free = async () => (await ownerStatus({ socket })).locks.map(({ name }) => name);
    expect(await inspect.watchFor(free, (names) => names.length === 1)).toEqual(["of the other"]);
    await child.call("release", 1);
  });
});

test("nobody is looked for where no owner is to be expected", async () => {
  const old = await startMortal();
  await old.load("llm", someTensors());
  const child = await startThreads(old.socket, 1);
  await old.child.call("close");
  await child.call("terminate", 0);
  expect(await child.call("settle")).toEqual({ mappings: 0, references: 0, fds: {} });
});

test("whoever sends more than a message may have is not listened to, and another one is", async () => {
  const old = await startMortal();
  const { socket } = old;
  await old.load("llm", someTensors());
  const child = await startThreads(socket, 1);
  await kill(old.child);
  rmSync(socket);
  const endless = (line: NativeChannel) => {
    const header = Buffer.alloc(4096);
    header.writeUInt32LE(2 ** 32 - 1);
    line.send(header);
  };
  const answering = (line: NativeChannel) => {
    const frames = new FrameDecoder();
    return (bytes: Buffer) =>
      frames.push(bytes, [], ({ message }) => {
        const { type, id } = message as unknown as { type: string; id: number };
        if (type === "release") line.send(encodeFrame({ type: "released", fds: 0, re: id, ended: 1 }));
      });
  };
  const ends: Promise<void>[] = [];
  const listener = native.listen(
    socket,
    { mode: 0o600, backlog: 1 },
    (line) => {
      ends.push(
        new Promise<void>((onClose) => {
          const onData = ends.length === 0 ? () => endless(line) : answering(line);
          native.startChannel(line, { onData, onDrain() {}, onClose: () => onClose() });
          endAfterOwners(async () => line.close());
        }),
      );
    },
    () => expect.unreachable(),
  );
  endAfterOwners(async () => listener.close());
  await child.call("terminate", 0);
  await inspect.watchFor(
    () => ends.length,
    (count) => count > 0,
  );
  await ends[0];
  await inspect.watchFor(
    () => ends.length,
    (count) => count > 1,
  );
  await ends[1];
});
