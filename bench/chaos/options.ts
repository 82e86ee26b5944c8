import { Command, InvalidArgumentError, Option } from "commander";

export const injections = ["wrong-answer", "leak", "refcount"] as const;
export type Injection = (typeof injections)[number];

export interface Options {
  seconds: number;
  workers: number;
  concurrency: number;
  /** Milliseconds between an answer and the lane's next request. */
  pause: number;
  seed: number;
  json: boolean;
  driver: "libcuda" | "host" | undefined;
  sharing: "vmm";
  inject: Injection | undefined;
  maxOutage: number;
}

export function readOptions(argv: readonly string[]): Options {
  return new Command("chaos")
    .description(
      "Traffic on shared weights, while a random schedule kills, stops and replaces its processes.",
    )
    .option(
      "--seconds <n>",
      "how long; a run goes on until every kind of event has happened",
      whole(1, 86_400),
      60,
    )
    .option("--workers <n>", "processes that serve", whole(1, 64), 4)
    .option("--concurrency <n>", "requests under way at each worker", whole(1, 256), 4)
    .option("--pause <ms>", "between an answer and the next request of its lane", whole(0, 10_000), 5)
    .addOption(
      new Option("--seed <n>", "the schedule").argParser(whole(0, 0xffff_ffff)).default(undefined, "random"),
    )
    .option("--json", "print one JSON object as the last line, and the log to standard error", false)
    .addOption(
      new Option("--driver <name>", "default: $CUDA_IPC_DRIVER, else libcuda").choices(["libcuda", "host"]),
    )
    .addOption(
      new Option("--sharing <kind>", "ipc memory dies with its owner, which this kills")
        .choices(["vmm"])
        .default("vmm"),
    )
    .addOption(new Option("--inject <fault>", "plants a fault, which must be found").choices(injections))
    .option(
      "--max-outage <ms>",
      "the longest time without an answer that is no broken promise",
      whole(1, 600_000),
      5000,
    )
    .parse(argv)
    .opts();
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Expected an integer from ${least} to ${most}.`);
  };
}
