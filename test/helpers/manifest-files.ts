import { readdirSync, readlinkSync } from "node:fs";

/** How many lists of tensors this process has open. */
export function manifestFiles(): number {
  const names = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // the folder's own
    }
  });
  return names.filter((name) => name.includes("cuda-ipc manifest")).length;
}
