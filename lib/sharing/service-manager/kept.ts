import type { NativeFd } from "../../native.js";
import { packTensors } from "../../wire/manifest.js";
import { ReceivedMemory } from "../received-memory.js";
import type { StoredState } from "../stored-state.js";
import type { ServiceManager } from "./service-manager.js";
import { readTensorsFile } from "./tensors-file.js";

/**
 * What came back from this process's own store, of the versions that a state names: for the owner whose state it is,
 * who may have nothing of it. The descriptors are copies: what is in store stays there.
 */
export function keptInStore(manager: ServiceManager, state: StoredState): ReceivedMemory {
  const memory = new ReceivedMemory();
  const { stored, names } = manager;
  for (const version of state.versions.values()) {
    const found = names.of(version).map((name) => stored.get(name) ?? []);
    if (found.some((fds) => fds.length !== 1)) continue;
    const [list, ...slabs] = found.map(([fd]) => fd!) as [NativeFd, ...NativeFd[]];
    const copies: NativeFd[] = [];
    try {
      const tensors = packTensors(readTensorsFile(list, version));
      for (const fd of slabs) copies.push(fd.duplicate());
      // Closes them if it does not take them.
      memory.add(state, { version: version.id, tensors }, copies.splice(0));
    } catch {
      // No use to anybody: it is removed like all that is in the store of a standby.
      for (const fd of copies) fd.close();
    }
  }
  return memory;
}
