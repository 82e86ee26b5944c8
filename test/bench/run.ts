import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { text } from "node:stream/consumers";

export interface Ran {
  code: number;
  text: string;
  errors: string;
}

/** Runs one of the benchmark's programs with a temporary folder of its own, to its end. */
export async function runIn(
  folder: string,
  script: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Ran> {
  const child = spawn(process.execPath, [path.join(__dirname, "../../dist/bench", script), ...args], {
    env: { ...process.env, TMPDIR: folder, NODE_OPTIONS: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = once(child, "close");
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = await closed;
  return { code, text: output, errors };
}
