import { readdirSync, readlinkSync } from "node:fs";
import { disconnect } from "../../../lib/index.js";
import { native } from "../../../lib/native.js";
import type { Surplus } from "../messages.js";
import { watchFor } from "../patience.js";

/** How many descriptors of each kind are open: "socket", "pipe", "anon_inode:[pidfd]", a file's path, ... */
export function openDescriptors(): Surplus {
  const kinds: Surplus = {};
  for (const fd of readdirSync("/proc/self/fd")) {
    let link: string;
    try {
      link = readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      continue; // the one that listed them
    }
    const kind = link.replace(/:\[\d+\]$/, "");
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return kinds;
}

/** Opens what a process opens once and keeps: the thread that watches sockets and processes. */
export function warmUp(): void {
  native.watchProcess(process.pid, undefined, () => {}).close();
}

/** What is open and was not `before`, once everything under way has had its time. */
export async function surplusDescriptors(before: Surplus): Promise<Surplus> {
  const nothing = await watchFor(() => {
    disconnect();
    return Object.keys(surplus(before)).length === 0 ? {} : undefined;
  }, 5000);
  return nothing ?? surplus(before);
}

function surplus(before: Surplus): Surplus {
  const more = Object.entries(openDescriptors()).map(
    ([kind, count]) => [kind, count - (before[kind] ?? 0)] as const,
  );
  return Object.fromEntries(more.filter(([, count]) => count > 0));
}
