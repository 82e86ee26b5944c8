/**
 * Every measure, in the order in which they run: those of the headline first; last what takes the set out of the page
 * cache. Models are written by the first that needs them.
 */

import { UserError } from "../common/user-error.js";
import { attach } from "../measures/attach.js";
import { attachBytes } from "../measures/attach-bytes.js";
import { attachConcurrent } from "../measures/attach-concurrent.js";
import { attachPeers } from "../measures/attach-peers.js";
import { attachTensors } from "../measures/attach-tensors.js";
import { death, deathPeers } from "../measures/death.js";
import { kernelRead } from "../measures/kernel-read.js";
import { load } from "../measures/load.js";
import { loadChecksum } from "../measures/load-checksum.js";
import { loadCold } from "../measures/load-cold.js";
import { loadSize } from "../measures/load-size.js";
import { loadChunks, loadThreads } from "../measures/load-threads.js";
import { memory } from "../measures/memory.js";
import { refcount } from "../measures/refcount.js";
import { restart } from "../measures/restart.js";
import { start } from "../measures/start.js";
import type { Measure } from "./bench.js";

export const measures: readonly Measure[] = [
  load,
  attach,
  attachPeers,
  kernelRead,
  memory,
  death,
  loadChecksum,
  loadSize,
  attachTensors,
  attachBytes,
  start,
  restart,
  refcount,
  attachConcurrent,
  loadThreads,
  loadChunks,
  deathPeers,
  loadCold,
];

export function measureOf(name: string): Measure {
  const found = measures.find((measure) => measure.name === name);
  if (found === undefined) throw new Error(`There is no measure named ${name}.`);
  return found;
}

/** Those whose name has one of the parts in it; all of them without parts. */
export function choose(parts: readonly string[]): Measure[] {
  for (const part of parts) {
    if (!measures.some(({ name }) => name.includes(part))) {
      throw new UserError(
        `No measure has "${part}" in its name. There are: ${measures.map(({ name }) => name).join(", ")}.`,
      );
    }
  }
  return measures.filter(({ name }) => parts.length === 0 || parts.some((part) => name.includes(part)));
}
