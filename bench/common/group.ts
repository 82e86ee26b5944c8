/** Processes that were started "detached": each leads a group, and what it starts is in it. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

export function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Nobody is left in it.
  }
}

/** How long to wait for the end of an output that somebody outside of the group holds open. */
const outputMs = 1000;

/**
 * Resolves with the exit code, or the name of the signal, of a group's leader, when all of its output is there. What it
 * left behind in its group is killed: it would hold the output open. To be called before anything is awaited.
 */
export async function endOfGroup(child: ChildProcess): Promise<string> {
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const [code, signal] = await once(child, "exit");
  killGroup(child.pid!);
  const timer = setTimeout(() => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  }, outputMs);
  await closed;
  clearTimeout(timer);
  return String(signal ?? code);
}
