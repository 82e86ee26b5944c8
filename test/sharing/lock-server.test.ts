// The two ends of locking without a wire between them: what an owner's death means for both.
import { expect, test, vi } from "vitest";
import { Ledger } from "../../dist/lib/sharing/ledger.js";
import { Lock, type LockGrip } from "../../dist/lib/sharing/lock.js";
import { LockClient, type LockLine } from "../../dist/lib/sharing/lock-client.js";
import { LockServer } from "../../dist/lib/sharing/lock-server.js";
import { type LockSnapshot, LockTable } from "../../dist/lib/sharing/lock-table.js";
import type { Weights } from "../../dist/lib/sharing/weights.js";
import { coded } from "../helpers/errors.js";

const id = (n: number) => n.toString(16).padStart(32, "0");
const processOf = (n: number, facts = {}) => ({
  ...{ key: `p${n}`, pid: 100 + n, startTime: String(n), uid: 0, command: "node", proven: true },
  ...facts,
});

/** An owner's locks; process n has connection n and the lease id(n) on a writable version. */
function startServer(snapshot?: LockSnapshot, awaitUntil = Number.POSITIVE_INFINITY) {
  const ledger = new Ledger();
  ledger.addVersion({ id: "v1", set: "llm", sharing: "vmm" });
  ledger.publish("v1");
  const record = vi.fn();
  const table = snapshot === undefined ? new LockTable() : LockTable.restore(snapshot, { awaitUntil });
  const server = new LockServer({ ledger, table, writable: () => true, record });
  const connect = (n: number, facts = {}) => {
    const process = processOf(n, facts);
    ledger.connectionOpened(n, process);
    ledger.grant({ lease: id(n), version: "v1", connection: n }, 1);
    return server.handlers(n, process);
  };
  return { server, table, record, connect };
}
const ask = (n: number, lock: number, timeout: number | null = null) => ({
  ...{
    type: "lock" as const,
    fds: 0 as const,
    id: 1,
    lease: id(n),
    name: "counter",
    lock: id(lock),
    timeout,
  },
});
const unlock = (...locks: number[]) => ({
  ...{ type: "unlock" as const, fds: 0 as const, id: 1, locks: locks.map(id) },
});

test("what is granted or ended is written down before anybody is told", async () => {
  const { record, connect } = startServer();
  const [a, b] = [connect(1), connect(2)];
  expect(a.lock(ask(1, 1))).toMatchObject({ body: { lock: id(1) } });
  expect(record).toHaveBeenLastCalledWith(expect.objectContaining({ granted: [expect.anything()] }));
  let told = false;
  const waiting = Promise.resolve(b.lock(ask(2, 2))).then(() => {
    told = true;
  });
  // Who only waits is nothing to be written down.
  expect(record).toHaveBeenCalledOnce();
  record.mockImplementation(() => expect(told).toBe(false));
  a.unlock(unlock(1));
  const [effects] = record.mock.lastCall!;
  expect(effects).toMatchObject({ ended: [{ lock: id(1) }], granted: [{ lock: id(2) }] });
  await waiting;
  expect(told).toBe(true);
});

test("a new owner keeps what was held, grants nothing while it recovers, and then in order", async () => {
  const before = startServer();
  before.connect(1).lock(ask(1, 1));
  const after = startServer(JSON.parse(JSON.stringify(before.table.snapshot())));
  const [a, b] = [after.connect(1), after.connect(2)];
  expect(a.relock({ type: "relock", fds: 0, id: 1, locks: [id(1), id(7)] })).toEqual({
    body: { kept: [id(1)] },
  });
  const granted: number[] = [];
  const waiting = [
    Promise.resolve(b.lock(ask(2, 2))).then(() => granted.push(2)),
    Promise.resolve(b.lock({ ...ask(2, 3), name: "free" })).then(() => granted.push(3)),
  ];
  expect(() => b.lock({ ...ask(2, 4, 0), name: "another" })).toThrow(coded("LOCK_TIMEOUT"));
  a.unlock(unlock(1));
  await new Promise(setImmediate);
  expect(granted).toEqual([]);
  after.server.recovered();
  await Promise.all(waiting);
  expect(after.table.list().map(({ lock }) => lock)).toEqual([id(2), id(3)]);
});

test("a new owner gives a lock back to a stranger that is its holder, and to nobody that cannot be proven dead", () => {
  const before = startServer();
  before.connect(1).lock(ask(1, 1));
  const after = startServer(JSON.parse(JSON.stringify(before.table.snapshot())), 100);
  after.server.watchHolders(() => false);
  expect(after.server.nextDeadline()).toBe(100);
  const relock = { type: "relock" as const, fds: 0 as const, id: 1, locks: [id(1)] };
  expect(after.connect(3, { proven: false }).relock(relock)).toEqual({ body: { kept: [] } });
  expect(after.connect(2).relock(relock)).toEqual({ body: { kept: [id(1)] } });
  // The next owner must find it under that name.
  expect(after.record).toHaveBeenCalledExactlyOnceWith(
    expect.objectContaining({
      ended: [expect.objectContaining({ lock: id(1) })],
      granted: [expect.objectContaining({ lock: id(1), process: processOf(2) })],
    }),
  );
  after.server.expire(100);
  expect(after.table.list()).toMatchObject([{ lock: id(1), process: { key: "p2" } }]);
});

test("a process that could not be found again, or be proven dead, is refused", () => {
  const { connect } = startServer();
  expect(() => connect(1, { proven: false }).lock(ask(1, 1))).toThrow(coded("PEER_UNPROVEN"));
  expect(() => connect(2, { startTime: "" }).lock(ask(2, 1))).toThrow(coded("PEER_UNPROVEN"));
  expect(() => connect(3).lock(ask(2, 1))).toThrow(coded("LEASE_FOREIGN"));
  expect(() => connect(4).lock(ask(9, 1))).toThrow(coded("LEASE_UNKNOWN"));
});

/** A client whose owner says what `answer` says. */
function startClient(answer: (type: string, body: { locks?: string[] }) => unknown) {
  const sent: [string, object][] = [];
  const send = async (type: string, body: object) => {
    sent.push([type, body]);
    return answer(type, body);
  };
  const line: LockLine = { request: send, ready: async () => {}, connected: true };
  const connection = { request: send } as never;
  const client = new LockClient(line);
  const make = (grip: LockGrip) => new Lock({} as Weights, "counter", grip);
  const take = () => client.acquire("lease", "counter", {}, make);
  return { client, connection, sent, take };
}

test("a lock that the next owner does not know is lost, and told so", async () => {
  const { client, connection, take, sent } = startClient((type, { locks }) =>
    type === "relock" ? { message: { kept: locks!.slice(0, 1) } } : {},
  );
  const [one, two] = [await take(), await take()];
  const lost = vi.fn();
  for (const lock of [one, two]) lock.on("lost", lost);
  await client.resume(connection);
  expect([one, two]).toMatchObject([
    { held: true, lost: false },
    { held: false, lost: true },
  ]);
  expect(lost).toHaveBeenCalledExactlyOnceWith(coded("LOCK_LOST"));
  // What is lost is another process's now, perhaps: it is not released.
  await two.release();
  expect(sent.filter(([type]) => type === "unlock")).toEqual([]);
});

test("what could not be given back is given back to the next owner", async () => {
  let broken = true;
  const { client, connection, take, sent } = startClient((type, { locks }) => {
    if (type === "unlock" && broken)
      throw Object.assign(new Error("lost"), { code: "ERR_CUDA_IPC_CONNECTION_LOST" });
    return { message: { kept: locks } };
  });
  const lock = await take();
  await lock.release({ after: null });
  expect([lock.held, client.owing]).toEqual([false, true]);
  await expect(client.resume(connection)).rejects.toThrow("lost");
  expect(client.owing).toBe(true);
  broken = false;
  await client.resume(connection);
  expect(client.owing).toBe(false);
  expect(sent.at(-1)).toEqual(sent.find(([type]) => type === "unlock"));
});
