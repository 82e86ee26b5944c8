import { type Command, Option } from "commander";
import { type FileAccess, native, type Sharing } from "../native.js";
import { Owner } from "../sharing/owner.js";
import type { Version } from "../sharing/version.js";
import { LoadBar } from "./load-progress.js";
import { chooseDriver, driverOption, notEmpty, socketOption, uids, wholeNumber } from "./options.js";
import { say } from "./output.js";
import { onStopSignal } from "./signals.js";
import { bytesText, countText, plain, rateText, secondsText } from "./text.js";

interface Options {
  name: string;
  socket?: string;
  device: number;
  allowUid?: number[];
  sharing?: Sharing;
  driver?: string;
  writable: boolean;
  io: FileAccess;
  verify: boolean;
  serviceManager: "auto" | "yes" | "no";
}

export function addServe(program: Command): void {
  program
    .command("serve")
    .description("Load a checkpoint onto a device and publish it, until SIGINT or SIGTERM.")
    .argument("<model>", "a safetensors file, an index of shards, or a folder that holds one")
    .requiredOption("--name <name>", "what workers attach to", notEmpty)
    .addOption(socketOption())
    .option("--device <n>", "the device's ordinal", wholeNumber, 0)
    .addOption(new Option("--sharing <kind>", "default: vmm where the device has it").choices(["vmm", "ipc"]))
    .option("--allow-uid <uid...>", "further users that may attach, trusted like your own", uids)
    .option("--writable", "let workers attach for writing", false)
    .addOption(
      new Option("--io <kind>", "how files are read: by what the page cache holds, through it, or past it")
        .choices(["auto", "buffered", "direct"])
        .default("auto"),
    )
    .option("--verify", "read everything again when it is on the device, and compare", false)
    .addOption(
      new Option(
        "--service-manager <when>",
        "store the memory with systemd, to be found again after a restart; auto: where the unit has a store",
      )
        .choices(["auto", "yes", "no"])
        .default("auto"),
    )
    .addOption(driverOption())
    .action(serve);
}

async function serve(model: string, options: Options): Promise<void> {
  chooseDriver(options.driver);
  const stop = new AbortController();
  onStopSignal((signal) => stop.abort(signal));
  const { socket, allowUid: allowUids, serviceManager } = options;
  const owner = await Owner.listen({
    socket,
    allowUids,
    serviceManager: serviceManager === "auto" ? "auto" : serviceManager === "yes",
  });
  owner.on("error", (error) => warn(error));
  owner.on("peererror", (error) => warn(error));
  owner.on("refusedoffer", (error) => warn(error));
  try {
    const version = await load(owner, model, options, stop.signal);
    announce(owner, version);
    await aborted(stop.signal);
    await close(owner, version);
  } catch (error) {
    await owner.close({ restart: owner.storedVersions > 0 });
    if (!stop.signal.aborted) throw error;
    say("Stopped while loading; nothing stays allocated.");
  }
}

async function load(owner: Owner, model: string, options: Options, signal: AbortSignal): Promise<Version> {
  const { name, device, sharing, writable, io, verify } = options;
  const recovered = owner.current(name);
  if (recovered?.presence === "awaited") {
    say(`Version ${recovered.number} of ${plain(name)} is left of the owner before: looking who has it.`);
  }
  const bar = new LoadBar();
  const before = performance.now();
  try {
    const version = await owner.load(name, model, {
      device,
      sharing,
      writable,
      io,
      verify,
      ifChanged: true,
      onProgress: bar.update,
      signal,
    });
    const seconds = (performance.now() - before) / 1000;
    bar.stop();
    if (version === recovered) {
      say(
        `Recovered ${plain(model)}: ${countText(version.tensors, "tensor")}, ${bytesText(version.bytes)}, not read again.`,
      );
      return version;
    }
    const { totalBytes } = bar;
    say(
      `Loaded ${plain(model)}: ${countText(version.tensors, "tensor")}, ${bytesText(totalBytes)} in ${secondsText(seconds)} ` +
        `(${rateText(totalBytes / seconds)}, the driver's start and the checksum included).`,
    );
    if (recovered !== undefined) {
      say(
        `Version ${recovered.number} was not kept: it came from something else, or nobody had it any more.`,
      );
    }
    return version;
  } finally {
    bar.stop();
  }
}

function announce(owner: Owner, version: Version): void {
  const driver = native.chosenProvider();
  const writable = version.writable ? ", writable" : "";
  say(`Driver ${driver}, device ${version.devices.join(", ")}, sharing ${version.sharing}${writable}.`);
  say(`Checksum ${version.checksum}.`);
  say(`Serving ${plain(version.set)}, version ${version.number}, on ${owner.socket} (pid ${process.pid}).`);
}

async function close(owner: Owner, version: Version): Promise<void> {
  const leases = version.refCount;
  const { storedVersions: kept } = owner;
  if (kept > 0) {
    // Whether it is a restart only the service manager knows. If not, it discards what it has.
    say(`Closing. The service manager keeps ${countText(kept, "version")}.`);
  } else if (leases > 0 && version.sharing === "ipc") {
    say(
      `Closing when ${countText(leases, "lease")} ${leases === 1 ? "has" : "have"} ended: "ipc" memory goes with this process. Once more to force it.`,
    );
  } else if (leases > 0) {
    say(`Closing. The holders of ${countText(leases, "lease")} keep the memory.`);
  }
  await owner.close({ restart: kept > 0 });
  say("Closed.");
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function warn(error: Error & { code?: string }): void {
  process.stderr.write(`cuda-ipc: ${plain(error.message)}${error.code ? ` [${error.code}]` : ""}\n`);
}
