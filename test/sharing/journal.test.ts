import { closeSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { CudaIpcError } from "../../dist/lib/index.js";
import { Journal } from "../../dist/lib/sharing/journal.js";
import { readJournal } from "../../dist/lib/sharing/journal-read.js";
import { processKey } from "../../dist/lib/sharing/process-key.js";
import { ProcessWatches } from "../../dist/lib/sharing/process-watches.js";
import { processStartTime } from "../../dist/lib/sharing/start-time.js";
import { StoredState } from "../../dist/lib/sharing/stored-state.js";
import type { StateChange } from "../../dist/lib/wire/changes.js";
import { temporaryFolder } from "../helpers/temporary.js";
import { changes } from "../wire/changes.js";

const folder = temporaryFolder();
let files = 0;
let journal: Journal | undefined;
let errors: CudaIpcError[];
/** What the journal's owner knows. */
let state: StoredState;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  errors = [];
  state = new StoredState();
});
afterEach(() => {
  journal?.close();
  vi.useRealTimers();
});

function start() {
  const file = path.join(folder, `${files++}.journal`);
  journal = new Journal(file, {
    owner: { id: "0".repeat(32), pid: 1, startTime: "1" },
    state: () => state,
    onError: (error) => errors.push(error),
  });
  const write = (list: StateChange[]) => {
    for (const change of list) state.apply(change);
    journal!.write(list);
  };
  return { file, write, written: async () => [...(await readJournal(file))!.changes()] };
}

const published = [changes.versionAdded!, changes.versionState!, changes.process!];
const granted = (n: number) => ({ ...changes.leaseGranted!, id: n.toString(16).padStart(32, "0") });

test("what was written is what is read", async () => {
  const { write, written } = start();
  expect(await written()).toEqual([]);
  write([...published, granted(1) as StateChange]);
  write([granted(2) as StateChange, changes.keeperAdded!, changes.lockHeld!]);
  write([{ op: "leaseEnded", id: "1".padStart(32, "0") }]);
  expect(await written()).toEqual([...state.changes()]);
  expect(state.leases.size).toBe(1);
});

test("a change is in the file when write returns, in one piece", () => {
  const { file, write } = start();
  write(published);
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  expect(lines.slice(1).map((line) => JSON.parse(line))).toEqual([published]);
});

test("whoever dies while he writes has made a change as a whole, or not at all", async () => {
  const { file, write } = start();
  const { version } = changes.versionAdded as Extract<StateChange, { op: "versionAdded" }>;
  const { lock } = changes.lockHeld as Extract<StateChange, { op: "lockHeld" }>;
  const next = { ...version, id: "9".repeat(32), number: 4 };
  const stateOf = (id: string, name: string) =>
    ({ op: "versionState", id, state: name, pinned: false, handedBack: false }) as StateChange;
  const groups: StateChange[][] = [
    published,
    [granted(1) as StateChange, granted(2) as StateChange],
    // What a load does to the version before it.
    [{ op: "versionAdded", version: next }, stateOf(version.id, "superseded"), stateOf(next.id, "current")],
    // A lock that its holder takes up under another name.
    [changes.lockHeld!],
    [{ op: "lockFreed", lock: lock.lock }, changes.process!, changes.lockHeld!],
  ];
  const states = [[...state.changes()]];
  const ends = [statSync(file).size];
  for (const group of groups) {
    write(group);
    states.push([...state.changes()]);
    ends.push(statSync(file).size);
  }
  const whole = readFileSync(file);
  const torn = `${file}.torn`;
  for (let length = ends[0]!; length <= whole.length; length++) {
    writeFileSync(torn, whole.subarray(0, length), { mode: 0o600 });
    const made = ends.filter((end) => end <= length).length - 1;
    expect([...(await readJournal(torn))!.changes()], `${length} bytes`).toEqual(states[made]);
  }
});

test("it is written anew when little of it is true any more", async () => {
  const { file, write, written } = start();
  write(published);
  for (let n = 0; n < 10_000; n++) {
    write([granted(n) as StateChange]);
    write([{ op: "leaseEnded", id: n.toString(16).padStart(32, "0") }]);
  }
  expect(statSync(file).size).toBeLessThan(1024 * 1024 + 1000);
  expect(await written()).toEqual([...state.changes()]);
});

test("where it cannot be written that is told, and it is made up for when it can", async () => {
  const { file, write, written } = start();
  write(published);
  const full = journal as unknown as { fd: number };
  closeSync(full.fd);
  full.fd = openSync("/dev/full", "w");
  write([granted(1) as StateChange]);
  write([granted(2) as StateChange]);
  expect(errors).toMatchObject([{ code: "ERR_CUDA_IPC_JOURNAL", details: { file } }]);
  expect((await readJournal(file))!.leases.size).toBe(0);
  vi.advanceTimersByTime(1000);
  expect(await written()).toEqual([...state.changes()]);
  write([granted(3) as StateChange]);
  expect((await readJournal(file))!.leases.size).toBe(3);
  expect(errors).toHaveLength(1);
});

test("nothing is left when there is nothing to recover", async () => {
  const { file } = start();
  journal!.remove();
  expect(await readJournal(file)).toBeUndefined();
});

test("processes of a journal: one whose pid is another's is dead, one that is not named here cannot be proven", async () => {
  const exited: string[] = [];
  let told!: () => void;
  const first = new Promise<void>((resolve) => {
    told = resolve;
  });
  const watches = new ProcessWatches((key) => {
    exited.push(key);
    told();
  });
  const { pid } = process;
  const named = (startTime: string, key = processKey({ pid, startTime })) => {
    return { key, pid, startTime, uid: 0, command: "node", proven: true };
  };
  const reused = named("1");
  expect(watches.adopt(named(processStartTime()))).toBe(true);
  expect(watches.adopt(named("", processKey({ pid: 0, startTime: "" })))).toBe(false);
  expect(watches.adopt(named(processStartTime(), `elsewhere ${pid} 1`))).toBe(false);
  expect(watches.adopt(reused)).toBe(true);
  await first;
  expect(exited).toEqual([reused.key]);
  watches.close();
});
