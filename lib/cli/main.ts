#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { software } from "../sharing/software.js";
import { addDevices } from "./devices.js";
import { addEarlyStart } from "./early-start.js";
import { reportFailure } from "./failure.js";
import { addInspect } from "./inspect.js";
import { watchOutput } from "./output.js";
import { addServe } from "./serve.js";
import { addStatus } from "./status.js";
import { addVerify } from "./verify.js";

const usage = 2;

function program(): Command {
  const root = new Command("cuda-ipc")
    .description("One copy of the model weights on the GPU, mapped by every process that needs them.")
    .version(software.version)
    .showHelpAfterError("(--help says more)")
    .exitOverride();
  for (const add of [addServe, addStatus, addVerify, addInspect, addDevices, addEarlyStart]) add(root);
  // Subcommands do not inherit it when they are added.
  for (const command of root.commands) command.exitOverride();
  return root;
}

watchOutput();
program()
  .parseAsync()
  .catch((error: unknown) => {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : usage;
    else process.exitCode = reportFailure(error);
  });
