import { Command, InvalidArgumentError, Option } from "commander";

export interface Options {
  json: boolean;
  sharing: "vmm" | "ipc" | undefined;
  workers: number;
  driver: "libcuda" | "host" | undefined;
  model: string | undefined;
  requests: number;
}

export function readOptions(argv: readonly string[]): Options {
  return new Command("demo")
    .description("One copy of the weights on a GPU, served by several processes, one of which is killed.")
    .option("--json", "print one JSON object as the last line", false)
    .addOption(
      new Option(
        "--sharing <kind>",
        "how the memory is shared; default: vmm where the device has it",
      ).choices(["vmm", "ipc"]),
    )
    .option("--workers <n>", "HTTP workers in the cluster", whole(1, 64), 3)
    .addOption(
      new Option(
        "--driver <name>",
        "default: $CUDA_IPC_DRIVER, else libcuda where there is a GPU, else host",
      ).choices(["libcuda", "host"]),
    )
    .option("--model <file>", "a safetensors file; its largest matrix is the layer (default: one is written)")
    .option("--requests <n>", "requests to be answered", whole(8, 1_000_000), 300)
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
