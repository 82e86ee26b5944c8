import type { Command } from "commander";
import { type OwnerStatus, ownerStatus } from "../sharing/owner-status.js";
import { jsonOption, socketOption, timeoutNumber } from "./options.js";
import { say, sayJson } from "./output.js";
import { agoText, bytesText, plain, tableText } from "./text.js";

interface Options {
  socket?: string;
  timeout: number;
  json: boolean;
}

export function addStatus(program: Command): void {
  program
    .command("status")
    .description("Ask an owner what it holds, who holds that, and which locks are held.")
    .addOption(socketOption())
    .option("--timeout <ms>", "how long to wait for the answer", timeoutNumber, 10_000)
    .addOption(jsonOption())
    .action(async ({ socket, timeout, json }: Options) => {
      const status = await ownerStatus({ socket, timeout });
      if (json) sayJson(status);
      else say(statusText(status, Date.now()));
    });
}

function statusText(status: OwnerStatus, now: number): string {
  const { pid, software, driver, socket, recovering, sets, locks } = status;
  const owner = `Owner: pid ${pid}, ${plain(`${software.name} ${software.version}, driver ${driver}, ${socket}`)}`;
  const versions = sets.flatMap(({ name, versions }) => versions.map((version) => ({ name, ...version })));
  const rows = versions.map((version) => [
    version.name,
    String(version.number),
    version.state + (version.pinned ? ", pinned" : "") + (version.writable ? ", writable" : ""),
    version.sharing,
    bytesText(version.bytes),
    String(version.tensors),
    `${version.refCount}${version.exact ? "" : "+"}`,
    agoText(now - version.loadedAt),
    version.source,
  ]);
  const held = versions.flatMap((version) =>
    version.holders.map((holder) => [
      version.name,
      String(version.number),
      String(holder.pid),
      holder.command,
      String(holder.uid),
      String(holder.leases),
      agoText(now - holder.since),
    ]),
  );
  const locked = locks.map((lock) => [
    ...[lock.set, lock.name, String(lock.pid), lock.command, String(lock.uid)],
    ...[agoText(now - lock.since), String(lock.waiting)],
  ]);
  const versionHeader = [..."SET VERSION STATE SHARING SIZE TENSORS REFS LOADED SOURCE".split(" ")];
  return [
    `${owner}\n`,
    recovering ? "It is recovering: reference counts are lower bounds (+).\n" : "",
    rows.length === 0 ? "It holds nothing.\n" : `\n${tableText(versionHeader, rows)}`,
    held.length === 0
      ? ""
      : `\n${tableText(["SET", "VERSION", "PID", "COMMAND", "UID", "LEASES", "SINCE"], held)}`,
    locked.length === 0
      ? ""
      : `\n${tableText(["SET", "LOCK", "PID", "COMMAND", "UID", "SINCE", "WAITING"], locked)}`,
  ].join("");
}
