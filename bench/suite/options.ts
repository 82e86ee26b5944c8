import { Command, InvalidArgumentError, Option } from "commander";

export interface SuiteOptions {
  driver: "libcuda" | "host";
  device: number;
  quick: boolean;
  /** Parts of names of measures; empty: all of them. */
  filter: string[];
  out: string | undefined;
  merge: boolean;
  folder: string | undefined;
  commit: string | undefined;
  json: boolean;
  list: boolean;
  /** Factor on every measure's time limit. */
  patience: number;
}

export function readOptions(argv: readonly string[]): SuiteOptions {
  const command = new Command("bench")
    .description(
      "Measures loading, attaching, serving and surviving, beside the floor and beside other libraries.",
    )
    .addOption(
      new Option("--driver <name>", "default: $CUDA_IPC_DRIVER, else libcuda").choices(["libcuda", "host"]),
    )
    .option("--device <ordinal>", "the device", whole, 0)
    .option("--quick", "fewer and smaller: to see that it works", false)
    .option(
      "--filter <names>",
      "only measures whose name has one of these in it, with commas between",
      list,
      [],
    )
    .option("--out <folder>", "where the results go (default: bench/results/<date>-<gpu>)")
    .option("--merge", "keep what other runs left in the folder, measure by measure", false)
    .option("--dir <folder>", "where models are written, and removed again (default: the temporary folder)")
    .option("--commit <id>", "what to record as the commit (default: what git says)")
    .option("--patience <factor>", "factor on every measure's time limit", positive, 1)
    .option("--json", "print the results as one JSON object as the last line", false)
    .option("--list", "name the measures and end", false)
    .parse(argv);
  const { dir, driver, ...rest } = command.opts();
  return {
    ...rest,
    driver: driver ?? (process.env.CUDA_IPC_DRIVER || "libcuda"),
    folder: dir,
  } as SuiteOptions;
}

function whole(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError("Expected an integer from 0.");
}

function positive(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError("Expected a number above 0.");
}

function list(text: string): string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.every((name) => name !== "")) return names;
  throw new InvalidArgumentError("Expected names with commas between.");
}
