// Who may listen on a socket, and what a dead owner's files are worth.
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { expect, test } from "vitest";
import { Owner } from "../../dist/lib/index.js";
import { startChild } from "../helpers/child.js";
import { folder, someTensors, startOwner } from "../helpers/sharing.js";
import { kill, startHolder, startMortal, startSuccessor } from "../helpers/survival.js";
import { newSocket } from "../helpers/temporary.js";

const coded = (code: string) => expect.objectContaining({ code: `ERR_CUDA_IPC_${code}` });

/** An owner that was killed while a worker held what it had published. */
async function aftermath() {
  const mortal = await startMortal();
  const { socket } = mortal;
  const loaded = await mortal.load("set", someTensors());
  const holder = await startHolder("set", { socket });
  await kill(mortal.child);
  return { socket, journal: `${socket}.journal`, loaded, ...holder };
}

test("of two owners that race for one socket, exactly one wins", async () => {
  const socket = newSocket(folder);
  const racers = Array.from({ length: 4 }, () => startChild("owner.cjs"));
  const outcomes = await Promise.allSettled(racers.map((racer) => racer.call("listen", { socket })));
  const losers = outcomes.filter((outcome) => outcome.status === "rejected");
  expect(losers).toHaveLength(3);
  for (const { reason } of losers) expect(reason).toEqual(coded("OWNER_RUNNING"));
  const winner = racers[outcomes.findIndex(({ status }) => status === "fulfilled")]!;
  await winner.call("load", "set", someTensors());
  // The losers have left the winner's socket alone, and one of them is next when it dies.
  const { worker, key } = await startHolder("set", { socket });
  await kill(winner);
  const next = racers.filter((racer) => racer !== winner);
  const again = await Promise.allSettled(next.map((racer) => racer.call("listen", { socket })));
  expect(again.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: true } });
  await worker.call("release", key);
});

test("the files are this user's alone, and go with an orderly end", async () => {
  const owner = await startOwner();
  await owner.load("set", someTensors());
  const files = ["", ".journal"].map((suffix) => `${owner.socket}${suffix}`);
  for (const file of files) expect(lstatSync(file).mode & 0o777).toBe(0o600);
  await owner.close();
  for (const file of files) expect(existsSync(file)).toBe(false);
});

test("a stale socket is replaced, anything else is not", async () => {
  const { socket } = await aftermath();
  expect(lstatSync(socket).isSocket()).toBe(true);
  const { owner } = await startSuccessor(socket);
  await owner.whenRecovered();

  const file = newSocket(folder);
  await (await Owner.listen({ socket: file })).close();
  writeFileSync(file, "precious");
  await expect(Owner.listen({ socket: file })).rejects.toThrow(coded("SOCKET_PATH"));
  expect(readFileSync(file, "utf8")).toBe("precious");
});

test("the last line of the journal may be torn", async () => {
  const { journal, socket, loaded } = await aftermath();
  appendFileSync(journal, '[{"op":"leaseEnded","id":"');
  const { owner } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ id: loaded.id, refCount: 1 });
  expect(readFileSync(journal, "utf8")).toMatch(/\]\n$/);
});

test.each([
  ["a line that is not JSON", (text: string) => text.replace(/\n\[\{"op":"version/, '\nx[{"op":"version')],
  ["a line that is no list", (text: string) => text.replace(/\n\[\{.*\}\]\n/, '\n{"op":"versionAdded"}\n')],
  ["a change that does not exist", (text: string) => text.replace("leaseGranted", "leaseDoubled")],
  ["a value of the wrong kind", (text: string) => text.replace(/"pid":\d+,"startTime":"\d+","uid"/, '"uid"')],
  ["a lease of an unknown version", (text: string) => text.replace(/\n\[\{"op":"versionAdded".*?\n/, "\n")],
  ["another format", (text: string) => text.replace('"journal":3', '"journal":2')],
  ["no header", (text: string) => text.slice(text.indexOf("\n") + 1)],
])("a damaged journal (%s) is put aside and told of, and the owner starts without it", async (_, damage) => {
  const { journal, socket, worker, key } = await aftermath();
  const text = readFileSync(journal, "utf8");
  expect(damage(text)).not.toBe(text);
  writeFileSync(journal, damage(text));
  const owner = await startOwner({ socket });
  const told = await new Promise((resolve) => owner.once("error", resolve));
  expect(told).toEqual(coded("JOURNAL_DAMAGED"));
  expect(existsSync(`${journal}.damaged`)).toBe(true);
  expect(owner.recovering).toBe(false);
  expect(owner.versions()).toEqual([]);
  // The worker is not counted any more, and works on.
  expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: false } });
  expect(await worker.call("read", key, "bytes")).toHaveLength(300);
});

test("a journal of another start of the machine says nothing", async () => {
  const { journal, socket } = await aftermath();
  const text = readFileSync(journal, "utf8");
  writeFileSync(journal, text.replace(/"boot":"[^"]+"/, '"boot":"another"'));
  const { owner, lost } = await startSuccessor(socket);
  expect([owner.recovering, owner.versions(), lost]).toEqual([false, [], []]);
});

test.each([
  [
    "a link",
    (journal: string) => {
      renameSync(journal, `${journal}.real`);
      symlinkSync(`${journal}.real`, journal);
    },
  ],
  ["a file that others may write", (journal: string) => chmodSync(journal, 0o620)],
  ["a file that others may read", (journal: string) => chmodSync(journal, 0o604)],
])("a journal that could be somebody else's (%s) is refused", async (_, change) => {
  const { journal, socket, loaded } = await aftermath();
  change(journal);
  await expect(Owner.listen({ socket })).rejects.toThrow(coded("JOURNAL"));
  // Nothing was lost by the refusal.
  if (existsSync(`${journal}.real`)) {
    rmSync(journal);
    renameSync(`${journal}.real`, journal);
  }
  chmodSync(journal, 0o600);
  const { owner } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ id: loaded.id, refCount: 1 });
});

test("a version that was retired, and one that is pinned, come back as such", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("retired", someTensors(1));
  const pinned = await mortal.load("pinned", someTensors(2), { pinned: true });
  const { worker, key } = await startHolder("retired", { socket });
  const held = await worker.call<number>("attach", "pinned", { socket });
  await mortal.child.call("retire", "retired");
  await mortal.load("pinned", someTensors(3));
  await kill(mortal.child);
  const { owner, lost } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect(lost).toEqual(["pinned 2"]);
  expect(owner.versions().map(({ set, state, pinned }) => [set, state, pinned])).toEqual([
    ["retired", "retired", false],
    ["pinned", "superseded", true],
  ]);
  await worker.call("retain", key);
  await worker.call("release", held);
  expect(owner.versions().find(({ id }) => id === pinned.id)).toMatchObject({ refCount: 0 });
});
