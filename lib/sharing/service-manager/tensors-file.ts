import { fstatSync, readSync } from "node:fs";
import type { TensorEntry } from "../../loading/plan.js";
import { type NativeFd, native } from "../../native.js";
import { ownerChecks } from "../../wire/check.js";
import type { OwnerMessages } from "../../wire/messages.js";
import type { CatalogEntry } from "../catalog.js";
import { checkManifest } from "../manifest.js";
import { manifestDigest } from "../manifest-digest.js";
import { memoryOf } from "../mirror-source.js";

const mostBytes = 256 * 1024 * 1024;

/** A file in memory with what a standby is sent of the version beside its descriptors: the list of its tensors. */
export function writeTensorsFile(entry: CatalogEntry): NativeFd {
  const { memory, fds } = memoryOf(entry);
  const message = JSON.stringify({ type: "mirrorMemory", fds: fds.length, memory });
  return native.createSealedMemfd(`cuda-ipc tensors ${entry.id}`, Buffer.from(message));
}

/** Reads such a file, and holds it against what the journal says of the version. Throws, whatever is wrong with it. */
export function readTensorsFile(
  { fd }: NativeFd,
  entry: { readonly slabs: readonly { bytes: number }[]; readonly manifest: string },
): TensorEntry[] {
  const facts = fstatSync(fd);
  // Of anything else, a read could wait forever.
  if (!facts.isFile() || facts.size > mostBytes)
    throw new Error("the list of its tensors is not a file of that");
  const content = Buffer.alloc(facts.size);
  // Whoever has the descriptor shares its position.
  const length = readSync(fd, content, 0, content.length, 0);
  const message = JSON.parse(content.toString("utf8", 0, length)) as OwnerMessages["mirrorMemory"];
  if (message?.type !== "mirrorMemory") throw new Error("the list of its tensors is something else");
  ownerChecks.check(message);
  const tensors = [...checkManifest(message.memory.tensors, entry.slabs).values()];
  if (manifestDigest(tensors) !== entry.manifest) {
    throw new Error("its list of tensors is not the one that was published");
  }
  return tensors;
}
