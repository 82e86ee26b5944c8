// The loader processes of a process, as the system sees them.
import { readdirSync, readFileSync } from "node:fs";
import { native } from "../../dist/lib/native.js";
import { inspect } from "../helpers/inspect.js";

/** The pids of the loaders that a process has started and that have not ended. */
export function loadersOf(pid: number = process.pid): number[] {
  const pids = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    (read(`/proc/${pid}/task/${task}/children`) ?? "").split(" ").filter(Boolean).map(Number),
  );
  return pids.filter((child) => read(`/proc/${child}/cmdline`)?.includes("/loading/main.js"));
}

/** Waits until the process has a loader. */
export async function loaderOf(pid: number = process.pid): Promise<number> {
  const [loader] = await inspect.watchFor(
    () => loadersOf(pid),
    (loaders) => loaders.length > 0,
  );
  if (loader === undefined) throw new Error(`process ${pid} has no loader`);
  return loader;
}

/** Settles when the process has ended; true at once when there is none. */
export function ended(pid: number): Promise<void> {
  return new Promise((resolve) => {
    native.watchProcess(pid, undefined, resolve);
  });
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined; // the process has ended meanwhile
  }
}
