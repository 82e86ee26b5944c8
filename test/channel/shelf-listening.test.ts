// A listening socket whose connections are served from a shelf as they are accepted, whatever the event loop is at.
import { Worker } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import { type NativeChannel, type NativeShelf, native } from "../../dist/lib/native.js";
import { Changes, openFds, socketPath, started } from "./helpers.js";
import { all, eventually, file, hello, me, request, shelfWith, waitMs } from "./shelf-helpers.js";

/** 0: nothing yet; 1: the frames have come; 2: the end has. */
type Heard = Int32Array<SharedArrayBuffer>;

const client = `
  const { workerData, parentPort } = require("node:worker_threads");
  const { native } = require(workerData.addon);
  const tell = (what) => {
    Atomics.store(workerData.heard, 0, what);
    Atomics.notify(workerData.heard, 0);
  };
  parentPort.postMessage("ready");
  parentPort.once("message", async () => {
    const channel = await native.connect(workerData.socket);
    channel.send(workerData.first);
    let received = 0;
    native.startChannel(channel, {
      onData(bytes, fds) {
        for (const fd of fds) fd.close();
        received += bytes.length;
        if (received === 6) tell(1);
      },
      onDrain() {},
      onClose() { tell(2); },
    });
    channel.ref();
  });`;

const addon = require.resolve("../../dist/lib/native.js");

async function clientThread(socket: string): Promise<{ heard: Heard; thread: Worker }> {
  const heard = new Int32Array(new SharedArrayBuffer(4));
  const first = all(hello, request("a"));
  const thread = new Worker(client, { eval: true, workerData: { socket, addon, heard, first } });
  onTestFinished(async () => void (await thread.terminate()));
  await new Promise((resolve) => thread.once("message", resolve));
  return { heard, thread };
}

/** With this thread's event loop held meanwhile. */
function waitWhile(heard: Heard, last: number): void {
  while (Atomics.load(heard, 0) === last)
    if (Atomics.wait(heard, 0, last, waitMs) === "timed-out") throw new Error(`nothing heard after ${last}`);
}

/** A listener with a shelf, and the channels that it has told of. */
function serveShelf(socket: string, shelf: NativeShelf) {
  const accepted: NativeChannel[] = [];
  const changes = new Changes();
  const listener = native.listen(
    socket,
    { mode: 0o600, backlog: 5, shelf },
    (channel) => {
      accepted.push(channel);
      changes.changed();
    },
    (error) => {
      throw error;
    },
  );
  onTestFinished(() => {
    listener.close();
    for (const channel of accepted) channel.close();
  });
  return { listener, accepted, changes };
}

test("the frames have come before the owner's event loop has turned", async () => {
  const socket = socketPath();
  const { accepted, changes, listener } = serveShelf(socket, shelfWith("v1", "frames", 2));
  const { heard, thread } = await clientThread(socket);
  thread.postMessage("go");
  waitWhile(heard, 0);
  expect(accepted).toEqual([]);
  await changes.until(() => accepted.length === 1);
  const far = started(accepted[0] as NativeChannel);
  await far.events.until(() => far.events.received === hello.length + request("a").length);
  expect(far.channel.takeAhead("a")).toBe("v1");
  expect(far.channel.peer).toMatchObject({ pid: process.pid, uid: me });
  expect(far.channel.peer.startTime).not.toBe("");
  far.channel.close();
  listener.close();
  waitWhile(heard, 1);
});

test("so it is of a listening socket that was adopted", async () => {
  const socket = socketPath();
  const shelf = shelfWith("v1", "frames", 1);
  const first = native.listen(
    socket,
    { mode: 0o600, backlog: 5 },
    () => {},
    () => {},
  );
  const fd = first.detach();
  const accepted: NativeChannel[] = [];
  const second = native.adoptListener(
    fd,
    (channel) => accepted.push(channel),
    () => {},
    false,
    shelf,
  );
  fd.close();
  const { heard, thread } = await clientThread(socket);
  thread.postMessage("go");
  waitWhile(heard, 0);
  expect(accepted).toEqual([]);
  second.close();
});

test.each(["close", "detach"] as const)(
  "%s with a connection that has been served but not told of ends it",
  async (end) => {
    const socket = socketPath();
    const { accepted, listener } = serveShelf(socket, shelfWith("v1", "frames", 1));
    const { heard, thread } = await clientThread(socket);
    thread.postMessage("go");
    waitWhile(heard, 0);
    const left = listener[end]();
    await eventually(() => Atomics.load(heard, 0) === 2);
    expect(accepted).toEqual([]);
    left?.close();
  },
);

// The owner is a thread, and the client is this one.

const owner = `
  const { workerData, parentPort } = require("node:worker_threads");
  const { native } = require(workerData.addon);
  const shelf = native.createShelf([process.getuid()]);
  shelf.put("llm", "v1", null, Buffer.from("frames"), [native.createSealedMemfd("shelf", Buffer.from("1"))]);
  globalThis.kept = [];
  globalThis.listener = native.listen(workerData.socket, { mode: 0o600, backlog: 5, shelf }, (channel) => {
    kept.push(channel);
    parentPort.postMessage("accepted");
  }, () => {});
  listener.ref();
  parentPort.postMessage("listening");
  if (workerData.stuck) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);`;

test.each([
  ["with a channel that it was told of and has not started", false],
  ["with a channel that it could not be told of", true],
])("a thread that ends %s leaves nothing", async (_, stuck) => {
  const socket = socketPath();
  const before = openFds();
  const thread = new Worker(owner, { eval: true, workerData: { socket, addon, stuck } });
  const said: string[] = [];
  const changes = new Changes();
  thread.on("message", (message) => {
    said.push(message);
    changes.changed();
  });
  await changes.until(() => said.includes("listening"));
  const near = started(await native.connect(socket));
  const sent = file("");
  near.channel.send(all(hello, request("a")), [sent]);
  sent.close();
  await near.events.until(() => near.events.received === 6 && near.events.fds.length === 1);
  if (!stuck) await changes.until(() => said.includes("accepted"));
  await thread.terminate();
  await near.events.closed();
  near.events.closeFds();
  near.channel.close();
  await eventually(() => openFds() <= before);
});
