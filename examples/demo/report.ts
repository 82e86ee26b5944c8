/** The demo's words. */
import type { ClusterWorker } from "./cluster-worker.js";
import type { KillResult } from "./kill.js";
import type { Outcome } from "./outcome.js";

export function say(text = ""): void {
  process.stdout.write(`${text}\n`);
}

export function bytesText(bytes: number): string {
  if (Math.abs(bytes) >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export const msText = (ms: number): string => `${ms.toFixed(ms < 10 ? 2 : 0)} ms`;

export function sayKill({ victim, replacement, ...kill }: KillResult): void {
  say(
    `  worker ${victim.number} (pid ${victim.pid}) got SIGKILL with ${kill.inFlightAtKill} requests in flight`,
  );
  say(`  the owner's count went to ${kill.afterKill} after ${msText(kill.ledgerMs)}`);
  say(
    `  worker ${replacement.number} (pid ${replacement.pid}) took its place: attached in ` +
      `${msText(replacement.ready!.attachMs)}, serving ${msText(kill.replacedMs)} after the kill ` +
      `(of which ${msText(replacement.ready!.cudaMs)} to bring CUDA up); count ${kill.afterRestart}`,
  );
}

export function sayWorkers(
  workers: readonly ClusterWorker[],
  checksums: ReadonlyMap<ClusterWorker, string>,
): void {
  sayTable([
    ["  worker", "pid", "answered", "median ms", "attached in", "weights checksum"],
    ...workers.map((worker) => [
      `  ${worker.number}`,
      String(worker.pid),
      String(worker.answered),
      worker.latencies.length > 0 ? median(worker.latencies).toFixed(2) : "-",
      msText(worker.ready!.attachMs),
      checksums.get(worker) ?? "(killed)",
    ]),
  ]);
}

export function sayMemory({ deviceMemory, workers }: Outcome, sharedBytes: number): void {
  const { beforeBytes, withWorkersBytes, afterCloseBytes } = deviceMemory;
  const added = withWorkersBytes - beforeBytes;
  const each = Math.max(0, (added - sharedBytes) / workers);
  const separate = (sharedBytes + each) * workers;
  sayTable([
    ["  device memory", "in use", "over before"],
    ["  before", bytesText(beforeBytes), "-"],
    [`  with ${workers} workers`, bytesText(withWorkersBytes), bytesText(added)],
    ["  after close", bytesText(afterCloseBytes), bytesText(afterCloseBytes - beforeBytes)],
  ]);
  say();
  sayTable([
    [
      "  shared",
      `weights once, ${bytesText(sharedBytes)} + ${workers} x ${bytesText(each)}`,
      bytesText(added),
    ],
    ["  not shared", `(${bytesText(sharedBytes)} + ${bytesText(each)}) x ${workers}`, bytesText(separate)],
  ]);
  say(`  ${bytesText(each)} is what a worker adds: its context and buffers. "Not shared" is calculated.`);
}

function sayTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) {
    const cells = row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)));
    say(cells.join("   ").trimEnd());
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
