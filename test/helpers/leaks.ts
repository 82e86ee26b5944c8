/**
 * After every test of a file that imports this: its children have let go of everything, its owners have no lease
 * left, and this process has neither a mapping nor a descriptor nor device memory more than before.
 */
import { afterEach, beforeAll, expect } from "vitest";
import type { Owner } from "../../dist/lib/index.js";
import { type Child, endChildren, startedChildren } from "./child.js";
import { inspect, type Leftovers, nothingLeft } from "./inspect.js";
import { expectMemoryBack, freeMemory } from "./memory.js";

const owners: Owner[] = [];
const servants: (() => Promise<void>)[] = [];
let fdsBefore: Record<string, number>;
let memoryBefore: number[];

/** Has the test's end look after the owner: no lease may be left, then it is closed. */
export function watchOwner(owner: Owner): Owner {
  owners.push(owner);
  return owner;
}

/** Ends what children and owners need for as long as they live. */
export function endAfterOwners(end: () => Promise<void>): void {
  servants.push(end);
}

beforeAll(async () => {
  await inspect.warmUp();
  fdsBefore = inspect.openFds();
  memoryBefore = await freeMemory();
});

afterEach(async () => {
  const problems: unknown[] = [];
  const attempt = async (work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      problems.push(error);
    }
  };
  // Workers before owners, so that nobody waits for a lease of somebody who has yet to be asked.
  const children = startedChildren().filter(isThere);
  for (const child of children) child.resume();
  for (const child of [...children].sort(workersFirst)) await attempt(() => settle(child));
  await attempt(async () => {
    const died = await endChildren();
    expect(died.map(({ exit, stderr }) => ({ ...exit, stderr }))).toEqual([]);
  });
  for (const owner of owners.splice(0)) await attempt(() => closeOwner(owner));
  for (const end of servants.splice(0)) await attempt(end);
  await attempt(async () => expect(await inspect.leftovers(fdsBefore)).toEqual(nothingLeft));
  await attempt(() => expectMemoryBack(memoryBefore));
  if (problems.length === 1) throw problems[0];
  if (problems.length > 1) throw new AggregateError(problems, problems.map(String).join("\n"));
});

const isThere = ({ exit, process }: Child) => exit === undefined && process.connected;

function workersFirst(a: Child, b: Child): number {
  return Number(a.script === "owner.cjs") - Number(b.script === "owner.cjs");
}

async function settle(child: Child): Promise<void> {
  if (child.mayDie) return;
  const left = await within(child.call<Leftovers>("settle"), `${child.script} letting go of everything`);
  expect(left, `left over in ${child.script}`).toEqual(nothingLeft);
}

async function closeOwner(owner: Owner): Promise<void> {
  const timeout = AbortSignal.timeout(10_000);
  for (const version of owner.versions()) await version.waitForRefCount((count) => count === 0, timeout);
  await owner.close({ signal: timeout });
}

/** The next test shall not hang because of this one. */
async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`gave up waiting for ${what}`)), 10_000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
