// Locks through changes of the owner: none is doubled, none is lost.
import { expect, test } from "vitest";
import { Owner, ownerStatus } from "../../dist/lib/index.js";
import { coded } from "../helpers/errors.js";
import { inspect } from "../helpers/inspect.js";
import { watchOwner } from "../helpers/leaks.js";
import { holders, queueFor, startLocker, waiting } from "../helpers/locks.js";
import { apart, kill, startMortal, startSuccessor } from "../helpers/survival.js";

async function startWritable() {
  const mortal = await startMortal();
  await mortal.load("llm", { counter: new Uint32Array(1) }, { writable: true });
  return mortal;
}

test("processes that change a plain counter under the lock lose no change while owners die", async () => {
  let mortal = await startWritable();
  const { socket } = mortal;
  const lockers = await Promise.all([1, 2, 3].map(() => startLocker({ socket })));
  const counting = lockers.map((locker) => locker.call("count", "counter", "counter", 40));
  for (let death = 0; death < 3; death++) {
    await Promise.all(lockers.map((locker) => locker.call("reachCount", "counter", 10 + death * 30)));
    await kill(mortal.child);
    mortal = await startMortal(socket);
  }
  await Promise.all(counting);
  expect(await lockers[0]!.call("read", "counter")).toEqual([120]);
});

test("at the owner's death the holder keeps its lock, and who waits waits on at the next owner", async () => {
  const mortal = await startWritable();
  const { socket } = mortal;
  const [a, b] = [await startLocker({ socket }), await startLocker({ socket })];
  await a.call("lock", "held", "counter");
  const granted = b.call("lock", "next", "counter", { timeout: 60_000 });
  await mortal.child.call("waitForWaiting", 1);
  await kill(mortal.child);
  const { owner } = await startSuccessor(socket);
  await owner.whenRecovered();
  await waiting(owner, 1);
  expect(holders(owner)).toEqual([a.pid]);
  expect(await a.call("facts", "held")).toEqual({ held: true, lost: false });
  await a.call("unlock", "held");
  await granted;
  expect(holders(owner)).toEqual([b.pid]);
});

test("at a hand-over the holder keeps its lock, and who waits waits on at the new owner", async () => {
  const old = await startWritable();
  const { socket } = old;
  const [a, b] = [await startLocker({ socket }), await startLocker({ socket })];
  await a.call("lock", "held", "counter");
  const granted = b.call("lock", "next", "counter", { timeout: 60_000 });
  await old.child.call("waitForWaiting", 1);
  const owner = watchOwner(await Owner.takeOver({ socket }));
  await owner.whenRecovered();
  await waiting(owner, 1);
  expect(holders(owner)).toEqual([a.pid]);
  expect(await a.call("facts", "held")).toEqual({ held: true, lost: false });
  await a.call("unlock", "held");
  await granted;
  expect(holders(owner)).toEqual([b.pid]);
  expect(await old.child.finish()).toBe(0);
});

test("a holder that dies while there is no owner holds nothing at the next one, and one that lives does", async () => {
  const mortal = await startWritable();
  const { socket } = mortal;
  const [a, b, c] = [
    await startLocker({ socket }),
    await startLocker({ socket }),
    await startLocker({ socket }),
  ];
  await a.call("lock", "held", "counter");
  await b.call("lock", "held", "other");
  await kill(mortal.child);
  await kill(a);
  const { owner } = await startSuccessor(socket);
  await owner.whenRecovered();
  await c.call("lock", "mine", "counter");
  expect(owner.locks().map(({ name, pid }) => [name, pid])).toEqual(
    expect.arrayContaining([
      ["counter", c.pid],
      ["other", b.pid],
    ]),
  );
  const { granted } = await queueFor(owner, c, "later", 1, {}, "other");
  await b.call("unlock", "held");
  await granted;
});

test.each(apart)(
  "who cannot be found by the next owner, which is %s, keeps its lock if it comes back in time",
  async (_, through) => {
    const mortal = await startWritable();
    const { socket } = mortal;
    const [living, dead, next] = [
      await startLocker({ socket }),
      await startLocker({ socket }),
      await startLocker({ socket }),
    ];
    await living.call("lock", "held", "counter");
    await dead.call("lock", "held", "other");
    await kill(mortal.child);
    await kill(dead);

    // In its PID namespace there is none of them.
    const { child } = await startMortal(socket, { recoveryDeadline: 2000 }, through);
    await living.event("ownerfound");
    // One that has only its connection is known by it, and may wait like any other.
    await next.event("ownerfound");
    const { locks } = await ownerStatus({ socket });
    expect(locks.map(({ name }) => name).sort()).toEqual(["counter", "other"]);
    await child.event("recovered");
    const left = async () => (await ownerStatus({ socket })).locks.map(({ name }) => name);
    expect(await inspect.watchFor(left, (names) => names.length === 1)).toEqual(["counter"]);
    expect(await living.call("facts", "held")).toEqual({ held: true, lost: false });
    await living.call("unlock", "held");
    expect(await left()).toEqual([]);
    await expect(next.call("lock", "mine", "other")).rejects.toThrow(coded("PEER_UNPROVEN"));
  },
);
