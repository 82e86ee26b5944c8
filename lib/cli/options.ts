import { InvalidArgumentError, Option } from "commander";
import { longestMs } from "../sharing/timeouts.js";

export const socketOption = (): Option =>
  new Option(
    "--socket <path>",
    "the owner's Unix socket (default: $CUDA_IPC_SOCKET, or the user's own)",
  ).argParser(notEmpty);

export const driverOption = (): Option =>
  new Option("--driver <name>", "default: $CUDA_IPC_DRIVER, else libcuda").choices(["libcuda", "host"]);

export const jsonOption = (): Option => new Option("--json", "print one JSON object").default(false);

/** The choice holds for this process and those that it starts. */
export function chooseDriver(name: string | undefined): void {
  if (name !== undefined) process.env.CUDA_IPC_DRIVER = name;
}

/** How long to wait, in milliseconds, as `ownerStatus` takes it. */
export function timeoutNumber(text: string): number {
  const milliseconds = wholeNumber(text);
  if (milliseconds > 0 && milliseconds <= longestMs) return milliseconds;
  throw new InvalidArgumentError(`Expected milliseconds, 1 to ${longestMs}.`);
}

/** What a shell makes of a variable that is not set. */
export function notEmpty(text: string): string {
  if (text === "") throw new InvalidArgumentError("It is empty.");
  return text;
}

/** One more of several. Whether it can be a user's id is the owner's to say. */
export function uids(text: string, before: number[] = []): number[] {
  return [...before, wholeNumber(text)];
}

export function wholeNumber(text: string): number {
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw new InvalidArgumentError("Expected a whole number.");
}
