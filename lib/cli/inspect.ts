import type { Command } from "commander";
import { openCheckpoint } from "../formats/safetensors.js";
import { jsonOption } from "./options.js";
import { say, sayJson } from "./output.js";
import { bytesText, countText, plain, shortened, tableText } from "./text.js";

/** How much of a file's own description is listed. */
const mostMetadata = 100;

export function addInspect(program: Command): void {
  program
    .command("inspect")
    .description("Check a checkpoint's headers against every rule of the format, and list its tensors.")
    .argument("<model>", "a safetensors file, an index of shards, or a folder that holds one")
    .addOption(jsonOption())
    .action(inspect);
}

async function inspect(model: string, { json }: { json: boolean }): Promise<void> {
  const { files, tensors, metadata, contentKey, warnings } = await openCheckpoint(model);
  const all = [...tensors.values()];
  const bytes = all.reduce((sum, tensor) => sum + tensor.bytes, 0);
  if (json) {
    sayJson({
      files: files.map(({ path, size }) => ({ path, size })),
      bytes,
      contentKey,
      metadata: Object.fromEntries(metadata),
      warnings,
      tensors: all.map(({ name, dtype, shape, bytes, file, fileOffset }) => ({
        ...{ name, dtype, shape, bytes, file, fileOffset },
      })),
    });
    return;
  }
  const rows = all.map((tensor) => [
    tensor.name,
    tensor.dtype,
    `[${tensor.shape.join(", ")}]`,
    bytesText(tensor.bytes),
    ...(files.length > 1 ? [String(tensor.file)] : []),
  ]);
  say(tableText(["TENSOR", "DTYPE", "SHAPE", "SIZE", ...(files.length > 1 ? ["FILE"] : [])], rows));
  say("");
  for (const [index, { path, size }] of files.entries()) {
    say(`File ${index}: ${plain(path)}, ${bytesText(size)}`);
  }
  for (const [key, value] of [...metadata].slice(0, mostMetadata)) {
    say(`Metadata: ${plain(shortened(key))} = ${plain(shortened(value))}`);
  }
  if (metadata.size > mostMetadata) say(`Metadata: ${metadata.size - mostMetadata} more (--json has all)`);
  for (const warning of warnings) say(`Warning: ${plain(warning)}`);
  say(`${countText(all.length, "tensor")}, ${bytesText(bytes)}. The headers keep every rule of the format.`);
}
