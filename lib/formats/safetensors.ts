import { promises as fs } from "node:fs";
import { constants } from "node:os";
import path from "node:path";
import { crypto } from "../crypto.js";
import { CudaIpcError, checkOptions, checkSignal, invalidArgument } from "../errors.js";
import type { Dtype } from "./dtypes.js";
import { eachOf } from "./each-of.js";
import { fileFailure, identityOf, type OpenedFile, readHeader, withFile } from "./file.js";
import { parseHeader } from "./header.js";
import { quote, refusal } from "./rules.js";
import { parseIndex, readIndex, type ShardIndex } from "./shards.js";

/** One of libuv's four threads stays with the rest of the program. */
const filesAtOnce = 3;

export interface CheckpointFile {
  /** Absolute; symbolic links are not resolved. */
  path: string;
  size: number;
  /** Where the tensors' bytes begin. */
  dataStart: number;
  /** Changes when the file is replaced or rewritten. */
  identity: string;
}

/** Where a tensor's bytes lie. */
export interface TensorSource {
  name: string;
  dtype: Dtype;
  shape: number[];
  /** Index into the checkpoint's files. */
  file: number;
  /** From the file's first byte. */
  fileOffset: number;
  bytes: number;
}

export interface Checkpoint {
  files: CheckpointFile[];
  /** In load order: by file, then by offset. */
  tensors: Map<string, TensorSource>;
  /** The files' own metadata; where two shards differ, the first one's. */
  metadata: Map<string, string>;
  /** A digest of all headers and file identities: differs when anything about the checkpoint was changed. */
  contentKey: string;
  /** What is odd but harmless: an index that disagrees with its shards about sizes or leaves out tensors. */
  warnings: string[];
}

export interface OpenOptions {
  /** The promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * Reads and checks the headers of a checkpoint, and never its data. `location` is a safetensors file, an index of
 * shards (*.json), or a folder that holds `model.safetensors` or `model.safetensors.index.json`.
 */
export async function openCheckpoint(location: string, options: OpenOptions = {}): Promise<Checkpoint> {
  checkOptions(options, ["signal"]);
  const signal = checkSignal(options.signal);
  if (typeof location !== "string" || location === "" || location.includes("\0")) {
    throw invalidArgument("path", "the path of a checkpoint", location);
  }
  signal?.throwIfAborted();
  const asked = path.resolve(location);
  try {
    return await readCheckpoint(asked, signal);
  } catch (error) {
    if (!isUnopened(error)) throw error;
    signal?.throwIfAborted();
    // Most are files. A folder shows when it is opened as one, or when it cannot be.
    const target = await locate(asked);
    if (target === asked) throw error;
    return readCheckpoint(target, signal);
  }
}

async function readCheckpoint(target: string, signal: AbortSignal | undefined): Promise<Checkpoint> {
  const reader = new Reader(target);
  if (!target.endsWith(".json")) {
    await reader.read(target, signal);
    return reader.finish();
  }
  const index = await withFile(target, readIndex, parseIndex);
  for (const shard of index.shards) await reader.read(shard, signal, index);
  return reader.finish(index);
}

function isUnopened(error: unknown): boolean {
  return error instanceof CudaIpcError && (error.call === "open" || error.details.rule === "ordinary-file");
}

/** Refuses a checkpoint whose files are no longer those that were opened; for use after their bytes were read. */
export async function assertUnchanged(checkpoint: Checkpoint, { signal }: OpenOptions = {}): Promise<void> {
  await eachOf(checkpoint.files, filesAtOnce, async (file) => {
    signal?.throwIfAborted();
    if ((await identityOf(file.path)) !== file.identity) {
      throw refusal("changed", file.path, "the file was changed or replaced while it was read");
    }
  });
}

async function locate(location: string): Promise<string> {
  if (!(await isFolder(location))) return location;
  const names = ["model.safetensors", "model.safetensors.index.json"];
  for (const name of names) {
    const candidate = path.join(location, name);
    if ((await isFolder(candidate)) !== undefined) return candidate;
  }
  throw refusal("no-checkpoint", location, `the folder holds neither ${names.join(" nor ")}`);
}

/** Undefined when nothing is there. */
async function isFolder(location: string): Promise<boolean | undefined> {
  try {
    return (await fs.stat(location)).isDirectory();
  } catch (cause) {
    const error = cause as NodeJS.ErrnoException;
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw fileFailure(location, "stat", error);
  }
}

/** Gathers one file after the other into a checkpoint. */
class Reader {
  private readonly files: CheckpointFile[] = [];
  private readonly tensors = new Map<string, TensorSource>();
  private readonly metadata = new Map<string, string>();
  private readonly digest = crypto().createHash("sha256");
  private readonly warnings: string[] = [];

  constructor(private readonly root: string) {}

  async read(file: string, signal: AbortSignal | undefined, index?: ShardIndex): Promise<void> {
    signal?.throwIfAborted();
    const add = (header: Buffer, opened: OpenedFile) => this.add(header, opened, index);
    await withFile(file, readHeader, add).catch((error) => {
      if (index === undefined || error.errno !== constants.errno.ENOENT) throw error;
      const [tensor] = [...index.shardOf].find(([, shard]) => shard === file)!;
      throw refusal("shard-missing", this.root, `its shard ${quote(file)} does not exist`, tensor);
    });
    signal?.throwIfAborted();
  }

  finish(index?: ShardIndex): Checkpoint {
    const { files, tensors, metadata, warnings } = this;
    if (index !== undefined) this.checkIndex(index);
    return { files, tensors, metadata, contentKey: this.digest.digest("hex"), warnings };
  }

  private add(bytes: Buffer, file: OpenedFile, index: ShardIndex | undefined): void {
    const dataStart = 8 + bytes.length;
    const header = parseHeader(file.path, bytes, file.size - dataStart);
    this.digest.update(`${file.identity} ${bytes.length}\n`).update(bytes);

    const unmapped: string[] = [];
    for (const { name, dtype, shape, begin, end } of header.tensors) {
      this.checkOwner(file.path, name, index);
      if (index !== undefined && !index.shardOf.has(name)) unmapped.push(name);
      const fileOffset = dataStart + begin;
      this.tensors.set(name, { name, dtype, shape, file: this.files.length, fileOffset, bytes: end - begin });
    }
    if (unmapped.length > 0) {
      this.warnings.push(
        `${file.path}: ${unmapped.length} tensors are not in the index, first ${quote(unmapped[0]!)}`,
      );
    }
    for (const [key, value] of header.metadata) if (!this.metadata.has(key)) this.metadata.set(key, value);
    this.files.push({ path: file.path, size: file.size, dataStart, identity: file.identity });
  }

  /** The same name in two files has no one meaning: which one is loaded would depend on their order. */
  private checkOwner(file: string, name: string, index: ShardIndex | undefined): void {
    const mapped = index?.shardOf.get(name);
    if (mapped !== undefined && mapped !== file) {
      throw refusal("wrong-shard", file, `the index says that it is in ${quote(mapped)}`, name);
    }
    const other = this.tensors.get(name);
    if (other !== undefined) {
      throw refusal("duplicate-tensor", file, `it is in ${quote(this.files[other.file]!.path)} too`, name);
    }
  }

  private checkIndex(index: ShardIndex): void {
    for (const [name, shard] of index.shardOf) {
      if (!this.tensors.has(name)) {
        throw refusal(
          "tensor-missing",
          this.root,
          `the index says that it is in ${quote(shard)}, but it is not`,
          name,
        );
      }
    }
    let bytes = 0;
    for (const tensor of this.tensors.values()) bytes += tensor.bytes;
    if (index.totalBytes !== undefined && index.totalBytes !== bytes) {
      this.warnings.push(
        `${this.root}: total_size is ${index.totalBytes}, but the tensors have ${bytes} bytes`,
      );
    }
  }
}
