import type { TensorEntry } from "../loading/plan.js";
import { type NativeFd, type NativeFileLock, native } from "../native.js";
import type { Catalog } from "./catalog.js";
import { randomId } from "./ids.js";
import { closeManifestFile } from "./manifest-file.js";
import { OwnerServer } from "./owner-server.js";
import { newOwnerParts } from "./owner-state.js";
import { rehearseAttach, rehearsedSet, rehearsedTensors } from "./rehearsal.js";
import { SuccessionServer } from "./succession-server.js";

const times = 12;
const bytes = 4096;
let rehearsed = false;

/**
 * Serves some attaches and releases to this process itself, from a ledger and a catalog of its own, so that an owner's
 * first workers find compiled code: see ./rehearsal.js. Once for each process; ends early when the signal is aborted.
 */
export async function rehearseServing(signal: AbortSignal): Promise<void> {
  if (rehearsed) return;
  rehearsed = true;
  const memory = native.createMemfd("cuda-ipc rehearsal", bytes);
  try {
    for (let n = 0; n < times && !signal.aborted; n++) await serveOne(memory);
  } finally {
    memory.close();
  }
}

/** By a server that has never seen this process before. */
async function serveOne(memory: NativeFd): Promise<void> {
  const { server, catalog } = play(memory);
  server.shelf.fill();
  try {
    await rehearseAttach(() => {
      const [near, fd] = native.socketPair();
      server.accept(native.adoptChannel(fd, server.shelf.native));
      return near;
    });
  } finally {
    server.close();
    catalog.list().forEach(closeManifestFile);
  }
}

function play(fd: NativeFd): { server: OwnerServer; catalog: Catalog } {
  const parts = newOwnerParts(undefined);
  const slab = { id: randomId(), device: "0", bytes, sharing: "vmm" as const, fd };
  const facts = { id: randomId(), set: rehearsedSet, writable: false, pinned: false, source: "" };
  parts.catalog.publish(facts, "vmm", {
    ...{ sharing: "vmm", slabs: [slab], checksum: randomId(), source: "", contentKey: null },
    tensors: [...rehearsedTensors] as TensorEntry[],
  });
  const never = () => {
    throw new Error("There is no hand-over in a rehearsal.");
  };
  const lock: NativeFileLock = { held: false, duplicate: never, close: () => {} };
  const succession = new SuccessionServer({
    ...{
      parts,
      lock,
      timeout: 0,
      prepare: never,
      freeze: never,
      detachListener: never,
      finish: never,
      goOn: never,
      letGo: never,
    },
  });
  const server = new OwnerServer(randomId(), parts.ledger, parts.catalog, {
    allowUids: [process.getuid?.() ?? 0],
    connections: 1,
    locks: parts.locks,
    succession,
    onPeerError: () => {},
  });
  return { server, catalog: parts.catalog };
}
