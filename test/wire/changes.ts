import type { StateChange } from "../../dist/lib/wire/changes.js";

const id = (digit: string) => digit.repeat(32);
const key = "boot pid:[1] 4720 8812990";

/** One of each change of an owner's state. */
const list: StateChange[] = [
  {
    op: "versionAdded",
    version: {
      ...{ id: id("1"), set: "llm", number: 3, sharing: "vmm", writable: false, source: "model.safetensors" },
      ...{
        checksum: id("2"),
        manifest: id("3"),
        tensors: 2,
        loadedAt: 1767225600000,
        origin: { files: "0a".repeat(32), place: "0b".repeat(32) },
      },
      slabs: [{ id: id("4"), device: "GPU-5a1c7e0b", bytes: 2097152 }],
    },
  },
  { op: "versionState", id: id("1"), state: "current", pinned: false, handedBack: false },
  { op: "versionGone", id: id("1") },
  { op: "numberUsed", set: "llm", number: 3 },
  {
    op: "process",
    process: { key, pid: 4720, startTime: "8812990", uid: 1000, command: "node", proven: true },
  },
  { op: "leaseGranted", id: id("5"), version: id("1"), process: key, since: 1767225601250 },
  { op: "leaseEnded", id: id("5") },
  { op: "keeperAdded", id: id("5"), version: id("1"), process: key, since: 1767225601250 },
  { op: "keeperGone", id: id("5"), version: id("1") },
  {
    op: "lockHeld",
    lock: { lock: id("6"), lease: id("7"), set: "kv", name: "prefix", process: key, since: 1767225601250 },
  },
  { op: "lockFreed", lock: id("6") },
];

export const changes: Record<string, StateChange> = Object.fromEntries(
  list.map((change) => [change.op, change]),
);
