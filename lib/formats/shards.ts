import path from "node:path";
import { maxHeaderBytes, type OpenedFile, readAt } from "./file.js";
import { parseObject } from "./header.js";
import { type Json, OddNumber } from "./json.js";
import { quote, refusal } from "./rules.js";

/** What `model.safetensors.index.json` says. */
export interface ShardIndex {
  /** Paths of the shards, sorted, as the reference loaders take them. */
  shards: string[];
  /** Tensor name -> path of its shard. */
  shardOf: Map<string, string>;
  /** `metadata.total_size`, where there is one. */
  totalBytes: number | undefined;
}

export async function readIndex(file: OpenedFile): Promise<Buffer> {
  if (file.size > maxHeaderBytes) {
    throw refusal(
      "index",
      file.path,
      `the index has ${file.size} bytes, above the limit of ${maxHeaderBytes}`,
    );
  }
  return readAt(file, 0, file.size);
}

export function parseIndex(content: Buffer, file: OpenedFile): ShardIndex {
  const tensorAt = ([key, name]: readonly string[]) => (key === "weight_map" ? name : undefined);
  const index = parseObject(file.path, content, tensorAt);
  const weightMap = index.get("weight_map");
  if (!(weightMap instanceof Map) || weightMap.size === 0) {
    const what = weightMap instanceof Map ? "is empty: it must map" : "must be an object that maps";
    throw refusal("index", file.path, `weight_map ${what} tensor names to file names`);
  }
  const shardOf = new Map<string, string>();
  for (const [name, shard] of weightMap) shardOf.set(name, shardPath(file.path, name, shard));
  return {
    shards: [...new Set(shardOf.values())].sort(),
    shardOf,
    totalBytes: totalBytes(index.get("metadata")),
  };
}

/**
 * Shards lie in the folder of the index or below it, so that a downloaded index cannot name other files of this
 * machine. The name is what is judged: a shard may be a symbolic link, as model caches make them.
 */
function shardPath(indexPath: string, tensor: string, shard: Json): string {
  const folder = path.dirname(indexPath);
  if (typeof shard === "string" && shard !== "" && !path.isAbsolute(shard) && !shard.includes("\0")) {
    const resolved = path.resolve(folder, shard);
    if (resolved.startsWith(path.join(folder, path.sep))) return resolved;
  }
  const why = `its file must be a relative path within the index's folder, but is ${quote(shard)}`;
  throw refusal("shard-path", indexPath, why, tensor);
}

function totalBytes(metadata: Json | undefined): number | undefined {
  const size = metadata instanceof Map ? metadata.get("total_size") : undefined;
  // Some tools write it as a float.
  return size instanceof OddNumber ? Number(size.text) : typeof size === "number" ? size : undefined;
}
