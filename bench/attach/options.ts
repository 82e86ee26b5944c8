import { Command, InvalidArgumentError, Option } from "commander";
import { defaultBytes, defaultTensors } from "./model.js";

export interface Options {
  driver: "libcuda" | "host";
  device: number;
  bytes: number;
  tensors: number;
  sharings: ("vmm" | "ipc")[];
  samples: number;
  repeats: number;
  rested: number;
  kills: number;
  folder: string | undefined;
  json: boolean;
}

/** Without a GPU the shape stays and the size shrinks: the host driver's numbers are about this library alone. */
const hostBytes = 256 << 20;

export function readOptions(argv: readonly string[]): Options {
  const command = new Command("bench:attach")
    .description(
      "Times attach() next to the same driver calls in C++, and the ledger next to a dying worker's pidfd.",
    )
    .addOption(
      new Option("--driver <name>", "default: $CUDA_IPC_DRIVER, else libcuda").choices(["libcuda", "host"]),
    )
    .option("--device <ordinal>", "the device", whole(0), 0)
    .option(
      "--bytes <n>",
      `size of the set (default: ${defaultBytes}; on the host driver ${hostBytes})`,
      whole(1),
    )
    .option("--tensors <n>", "tensors in the set", whole(1), defaultTensors)
    .addOption(new Option("--sharing <kind>", "default: both").choices(["vmm", "ipc"]))
    .option("--samples <n>", "fresh processes on each side", whole(1), 12)
    .option("--repeats <n>", "further attaches in each process", whole(0), 20)
    .option("--rested <n>", "and so many, each after 300 ms of nothing", whole(0), 2)
    .option("--kills <n>", "workers to kill, for each kind of sharing", whole(0), 20)
    .option("--dir <folder>", "where to write the set, and remove it again (default: the temporary folder)")
    .option("--json", "print one JSON object as the last line", false)
    .parse(argv);
  const { driver, bytes, sharing, dir, ...rest } = command.opts();
  const chosen = driver ?? (process.env.CUDA_IPC_DRIVER || "libcuda");
  return {
    ...rest,
    driver: chosen,
    bytes: bytes ?? (chosen === "host" ? hostBytes : defaultBytes),
    sharings: sharing === undefined ? ["vmm", "ipc"] : [sharing],
    folder: dir,
  } as Options;
}

function whole(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`Expected an integer from ${least}.`);
  };
}
