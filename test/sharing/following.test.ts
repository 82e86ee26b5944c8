import { once } from "node:events";
import { afterEach, expect, test, vi } from "vitest";
import {
  type Following,
  type FollowOptions,
  follow,
  type Owner,
  type Weights,
} from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import { startChild } from "../helpers/child.js";
import { coded } from "../helpers/errors.js";
import { openLate } from "../helpers/late-openings.js";
import { folder, someTensors, startOwner } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

/** Version n holds n in every element. */
const contentOf = (n: number) => ({ value: Uint32Array.of(n, n, n, n) });
const valueIn = async (weights: Weights) => Number((await weights.tensor("value").toHost())[0]);

const followings: Following[] = [];
// Before it is looked at what is left: the hooks of a file run before those of what it imports.
afterEach(async () => {
  for (const following of followings.splice(0)) await following.dispose();
});

async function startFollowing(owner: { socket: string }, options: FollowOptions = {}): Promise<Following> {
  const following = await follow("llm", { socket: owner.socket, ...options });
  followings.push(following);
  return following;
}

/** A request that is under way until it is told to end; it tells the version's content before and after. */
function longRequest(following: Following) {
  let finish!: () => void;
  const held = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const answer = following.use(async (weights) => {
    const before = await valueIn(weights);
    await held;
    return [before, await valueIn(weights)];
  });
  return { answer, finish };
}

async function publish(owner: Owner, n: number) {
  return owner.load("llm", contentOf(n));
}

test("new requests run on the new version, those under way finish on theirs, whose lease then ends", async () => {
  const owner = await startOwner();
  const first = await publish(owner, 1);
  const following = await startFollowing(owner);
  const request = longRequest(following);
  expect(following).toMatchObject({ name: "llm", version: { id: first.id, number: 1 }, moving: false });
  const moved = once(following, "moved");
  const second = await publish(owner, 2);
  expect(await moved).toEqual([{ from: { id: first.id, number: 1 }, to: { id: second.id, number: 2 } }]);
  expect(await following.use(valueIn)).toBe(2);
  expect(following.versions).toEqual([
    { id: second.id, number: 2, requests: 0 },
    { id: first.id, number: 1, requests: 1 },
  ]);
  expect([first.state, first.refCount]).toEqual(["superseded", 1]);
  const drained = once(following, "drained");
  request.finish();
  expect(await request.answer).toEqual([1, 1]);
  expect(await drained).toEqual([{ id: first.id, number: 1 }]);
  await first.whenFreed();
  expect(following.versions).toEqual([{ id: second.id, number: 2, requests: 0 }]);
});

test("requests without a pause, over many versions: none fails, none sees two versions", async () => {
  const owner = await startOwner();
  await publish(owner, 1);
  const following = await startFollowing(owner);
  const seen = new Set<number>();
  let stop = false;
  const traffic = [1, 2, 3, 4].map(async () => {
    while (!stop) {
      await following.use(async (weights) => {
        const { number } = weights.version;
        const values = (await weights.tensor("value").toHost()) as Uint32Array;
        expect([...values]).toEqual(Array(4).fill(number));
        seen.add(number);
      });
    }
  });
  for (let n = 2; n <= 8; n++) {
    const moved = once(following, "moved");
    await publish(owner, n);
    await moved;
    await following.use(valueIn);
  }
  stop = true;
  await Promise.all(traffic);
  expect(Math.max(...seen)).toBe(8);
  await vi.waitFor(() => expect(owner.versions().map(({ number }) => number)).toEqual([8]));
});

test("the next version cannot be attached: the one there is goes on, and it is tried again", async () => {
  openLate();
  const owner = await startOwner();
  await publish(owner, 1);
  const following = await startFollowing(owner);
  vi.spyOn(native, "openSlab").mockRejectedValueOnce(new Error("no more room to map it"));
  const failed = once(following, "moveerror");
  const moved = once(following, "moved");
  const second = await publish(owner, 2);
  expect((await failed)[0]).toMatchObject({ message: "no more room to map it" });
  expect(await following.use(valueIn)).toBe(1);
  await moved;
  expect(await following.use(valueIn)).toBe(2);
  expect(second.refCount).toBe(1);
});

test("a version that is refused by prepare is not moved to, and not held", async () => {
  const owner = await startOwner();
  await publish(owner, 1);
  const prepared: number[] = [];
  const following = await startFollowing(owner, {
    async prepare(weights) {
      const value = await valueIn(weights);
      prepared.push(value);
      if (value === 2) throw new Error("it answers nonsense");
    },
  });
  const failed = once(following, "moveerror");
  const second = await publish(owner, 2);
  expect((await failed)[0]).toMatchObject({ message: "it answers nonsense" });
  expect(await following.use(valueIn)).toBe(1);
  await second.waitForRefCount((count) => count === 0);
  const moved = once(following, "moved");
  await publish(owner, 3);
  await moved;
  expect([prepared[0], prepared[1], prepared.at(-1)]).toEqual([1, 2, 3]);
  expect(await following.use(valueIn)).toBe(3);
  // And the very first: nothing is followed, nothing held.
  const refuse = () => Promise.reject(new Error("not this one"));
  await expect(follow("llm", { socket: owner.socket, prepare: refuse })).rejects.toThrow("not this one");
});

test("what is published while a version is being attached or prepared is moved to next", async () => {
  const owner = await startOwner();
  await publish(owner, 1);
  let published = 1;
  const following = await startFollowing(owner, {
    async prepare(weights) {
      if (published === 4) return;
      await publish(owner, ++published);
      // Asked on the same connection after the news was sent: it has arrived.
      await weights.refCount();
    },
  });
  while (following.version.number < 4) await once(following, "moved");
  expect(await following.use(valueIn)).toBe(4);
});

test("a rollback is moved to like any other version", async () => {
  const owner = await startOwner();
  const first = await owner.load("llm", contentOf(1), { pinned: true });
  const following = await startFollowing(owner);
  const forward = once(following, "moved");
  await publish(owner, 2);
  await forward;
  const back = once(following, "moved");
  await owner.rollback("llm", first.id);
  await back;
  expect(await following.use(valueIn)).toBe(1);
});

test("dispose waits for the requests under way, takes no more, and leaves nothing", async () => {
  const owner = await startOwner();
  const version = await publish(owner, 1);
  const following = await startFollowing(owner);
  const request = longRequest(following);
  const disposed = vi.fn();
  const disposing = following.dispose().then(disposed);
  await expect(following.use(valueIn)).rejects.toThrow(coded("CLOSED"));
  // New versions are not its business any more.
  await publish(owner, 2);
  expect(disposed).not.toHaveBeenCalled();
  request.finish();
  expect(await request.answer).toEqual([1, 1]);
  await disposing;
  await following[Symbol.asyncDispose]();
  await version.whenFreed();
  await expect(following.use(null as never)).rejects.toThrow(coded("INVALID_ARGUMENT"));
});

test("dispose in the middle of a move releases both versions", async () => {
  const owner = await startOwner();
  const first = await publish(owner, 1);
  let preparing!: () => void;
  const reached = new Promise<void>((resolve) => {
    preparing = resolve;
  });
  const following = await startFollowing(owner, {
    async prepare(weights, signal) {
      if (weights.version.number === 1) return;
      preparing();
      await once(signal, "abort");
    },
  });
  const second = await publish(owner, 2);
  await reached;
  expect(following.moving).toBe(true);
  await following.dispose();
  await second.waitForRefCount((count) => count === 0);
  await first.whenFreed();
});

test("a set that is withdrawn is served on, until there is a new one", async () => {
  const owner = await startOwner();
  await publish(owner, 1);
  const following = await startFollowing(owner);
  const retired = once(following, "retired");
  const retiring = owner.retire("llm");
  expect(await retired).toEqual([{ set: "llm" }]);
  expect(await following.use(valueIn)).toBe(1);
  const moved = once(following, "moved");
  await publish(owner, 2);
  await moved;
  expect(await following.use(valueIn)).toBe(2);
  await retiring;
});

test("the owner dies: requests go on, and the next owner's versions are moved to", async () => {
  const socket = newSocket(folder);
  const owner = startChild("owner.cjs");
  await owner.call("listen", { socket });
  await owner.call("load", "llm", contentOf(1));
  const following = await startFollowing({ socket });
  const request = longRequest(following);
  const lost = once(following, "ownerlost");
  owner.kill("SIGKILL");
  await lost;
  expect(await following.use(valueIn)).toBe(1);
  const found = once(following, "ownerfound");
  const next = startChild("owner.cjs");
  await next.call("listen", { socket });
  await found;
  const moved = once(following, "moved");
  await next.call("load", "llm", contentOf(2));
  await moved;
  expect(await following.use(valueIn)).toBe(2);
  request.finish();
  expect(await request.answer).toEqual([1, 1]);
  await following.dispose();
});

test("options that are wrong are refused", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors());
  const { socket } = owner;
  await expect(follow("", { socket })).rejects.toThrow(coded("INVALID_ARGUMENT"));
  await expect(follow("llm", { socket, prepare: 7 as never })).rejects.toThrow(coded("INVALID_ARGUMENT"));
  await expect(follow("vision", { socket })).rejects.toThrow(coded("NO_SET"));
});
