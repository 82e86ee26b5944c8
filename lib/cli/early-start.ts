import type { Command } from "commander";
import { earlyStart } from "../cuda/early-start.js";
import { wholeNumber } from "./options.js";
import { say } from "./output.js";

export function addEarlyStart(program: Command): void {
  program
    .command("early-start")
    .description("Print the environment variables with which a worker brings CUDA up while its Node starts.")
    .option("--device <n>", "the device's ordinal in the worker", wholeNumber, 0)
    .action(printVariables);
}

/** One NAME=VALUE a line, as `env` and service managers take it. Where it cannot be: nothing, and a warning. */
function printVariables({ device }: { device: number }): void {
  for (const [name, value] of Object.entries(earlyStart({ device }))) say(`${name}=${value}`);
}
