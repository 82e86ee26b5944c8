import { promises as fs } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { crypto } from "../crypto.js";
import { checkOptions, checkSignal, invalidArgument } from "../errors.js";
import { type Dtype, dtypeRank, elementsPerByteBoundary, isDtype, tensorBytes } from "./dtypes.js";
import { fileFailure, maxHeaderBytes } from "./file.js";
import { metadataKey } from "./header.js";
import { hasUtf8Form } from "./text.js";

type Chunks = Iterable<ArrayBufferView> | AsyncIterable<ArrayBufferView>;

export interface TensorToWrite {
  name: string;
  dtype: Dtype;
  shape: readonly number[];
  /**
   * The tensor's bytes; or a function that yields them in chunks when the tensor's turn has come. A chunk is
   * written before the next one is asked for, so a producer may refill one buffer.
   */
  data: ArrayBufferView | (() => Chunks);
}

export interface WriteOptions {
  metadata?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
  /** The promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

/** Below the limit of one write call, and short enough for an abort to be noticed. */
const pieceBytes = 32 * 1024 * 1024;

/**
 * Writes a safetensors file as the reference implementation does: tensors by descending alignment, then by name;
 * data from a multiple of 8. Memory in use does not depend on the size of the file. The file appears under its
 * name when it is complete; a failure leaves what was there before.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  options: WriteOptions = {},
): Promise<{ bytes: number }> {
  if (typeof path !== "string" || path === "" || path.includes("\0")) {
    throw invalidArgument("path", "the path of a file", path);
  }
  checkOptions(options, ["metadata", "signal"]);
  const { metadata = {}, signal } = options;
  checkSignal(signal)?.throwIfAborted();
  const ordered = inWritingOrder(tensors);
  const header = encodeHeader(ordered, metadata);
  const partial = `${path}.${crypto().randomBytes(6).toString("hex")}.partial`;
  const handle = await fs.open(partial, "wx").catch((cause) => {
    throw fileFailure(partial, "open", cause);
  });
  try {
    const file = new Output(partial, handle, signal);
    try {
      await file.write(header);
      for (const tensor of ordered) await writeTensor(file, tensor);
    } finally {
      await handle.close();
    }
    await fs.rename(partial, path).catch((cause) => {
      throw fileFailure(path, "rename", cause);
    });
    return { bytes: file.bytes };
  } catch (error) {
    await fs.rm(partial, { force: true });
    throw error;
  }
}

function inWritingOrder(tensors: Iterable<TensorToWrite>): TensorToWrite[] {
  if (typeof tensors?.[Symbol.iterator] !== "function")
    throw invalidArgument("tensors", "a list of tensors", tensors);
  const byName = new Map<string, TensorToWrite>();
  for (const tensor of tensors) {
    checkTensor(tensor);
    if (byName.has(tensor.name)) throw invalidArgument("tensors", "one tensor of each name", tensor.name);
    byName.set(tensor.name, tensor);
  }
  // Names compare by their UTF-8 bytes, which is not how JavaScript compares strings.
  const keyed = [...byName.values()].map((tensor) => ({ tensor, key: Buffer.from(tensor.name) }));
  keyed.sort((a, b) => dtypeRank(b.tensor.dtype) - dtypeRank(a.tensor.dtype) || Buffer.compare(a.key, b.key));
  return keyed.map(({ tensor }) => tensor);
}

function checkTensor(tensor: TensorToWrite): void {
  if (typeof tensor !== "object" || tensor === null)
    throw invalidArgument("a tensor", "{ name, dtype, shape, data }", tensor);
  const { name, dtype, shape, data } = tensor;
  checkText("name", name);
  if (name === metadataKey)
    throw invalidArgument("name", `anything but ${metadataKey}, which is reserved`, name);
  if (!isDtype(dtype)) throw invalidArgument(`the dtype of ${name}`, "a dtype of the format", dtype);
  if (
    !Array.isArray(shape) ||
    !shape.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0)
  ) {
    throw invalidArgument(`the shape of ${name}`, "an array of non-negative safe integers", shape);
  }
  const bytes = tensorBytes(dtype, shape);
  if (bytes === undefined) {
    const expected = `a whole number of bytes below 2^50 (${dtype}: elements by ${elementsPerByteBoundary(dtype)})`;
    throw invalidArgument(`the shape of ${name}`, expected, `[${shape}]`);
  }
  if (typeof data !== "function" && !ArrayBuffer.isView(data)) {
    throw invalidArgument(
      `the data of ${name}`,
      "a typed array, a Buffer or a function that yields them",
      data,
    );
  }
  if (ArrayBuffer.isView(data) && data.byteLength !== bytes) {
    throw invalidArgument(`the data of ${name}`, `${bytes} bytes for ${dtype} [${shape}]`, data.byteLength);
  }
}

/** Readers refuse what has none. */
function checkText(name: string, value: unknown): void {
  if (typeof value !== "string" || !hasUtf8Form(value)) {
    throw invalidArgument(name, "a string without unpaired surrogates", value);
  }
}

function encodeHeader(tensors: TensorToWrite[], metadata: NonNullable<WriteOptions["metadata"]>): Buffer {
  const fields: string[] = [];
  const notes = metadata instanceof Map ? [...metadata] : Object.entries(metadata);
  for (const [key, value] of notes) {
    checkText("a key of metadata", key);
    checkText(`metadata.${key}`, value);
  }
  if (notes.length > 0) {
    const pairs = notes.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    fields.push(`"${metadataKey}":{${pairs.join()}}`);
  }
  let end = 0;
  for (const { name, dtype, shape } of tensors) {
    const begin = end;
    end += tensorBytes(dtype, shape)!;
    if (end > Number.MAX_SAFE_INTEGER) throw invalidArgument("tensors", "less than 2^53 bytes together", end);
    const info = JSON.stringify({ dtype, shape, data_offsets: [begin, end] });
    fields.push(`${JSON.stringify(name)}:${info}`);
  }
  const json = Buffer.from(`{${fields.join()}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > maxHeaderBytes) {
    throw invalidArgument("tensors", `a header of at most ${maxHeaderBytes} bytes`, `${length} bytes`);
  }
  const header = Buffer.alloc(8 + length, " ");
  header.writeBigUInt64LE(BigInt(length));
  json.copy(header, 8);
  return header;
}

async function writeTensor(file: Output, { name, dtype, shape, data }: TensorToWrite): Promise<void> {
  if (typeof data !== "function") return file.write(data);
  const expected = tensorBytes(dtype, shape)!;
  let written = 0;
  for await (const chunk of data()) {
    if (!ArrayBuffer.isView(chunk)) throw invalidArgument(`the data of ${name}`, "chunks of bytes", chunk);
    written += chunk.byteLength;
    if (written > expected) break;
    await file.write(chunk);
  }
  if (written !== expected) {
    const received = written > expected ? `at least ${written}` : `${written}`;
    throw invalidArgument(`the data of ${name}`, `chunks of ${expected} bytes together`, received);
  }
}

class Output {
  bytes = 0;

  constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
    private readonly signal: AbortSignal | undefined,
  ) {}

  async write(view: ArrayBufferView): Promise<void> {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    for (let at = 0; at < bytes.length; ) {
      this.signal?.throwIfAborted();
      const length = Math.min(pieceBytes, bytes.length - at);
      const { bytesWritten } = await this.handle.write(bytes, at, length).catch((cause) => {
        throw fileFailure(this.path, "write", cause);
      });
      at += bytesWritten;
      this.bytes += bytesWritten;
    }
  }
}
