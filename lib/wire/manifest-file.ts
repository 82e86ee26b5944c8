import type { ManifestTensor } from "./manifest.js";

// Words are of the machine's own byte order, which is that of the file wherever CUDA runs.

const magic = "tensors1";
const headerBytes = 32;
const recordBytes = 48;
const dtypeBytes = 12;

/**
 * The tensors of a version as the content of a manifest file (docs/protocol.md): to be looked into by name, without
 * reading all of it into objects first. No two tensors have one name.
 */
export function encodeManifest(tensors: readonly ManifestTensor[]): Buffer {
  const lengths = tensors.map(({ name }) => Buffer.byteLength(name));
  const nameBytes = lengths.reduce((sum, length) => sum + length, 0);
  const dimensions = tensors.reduce((sum, { shape }) => sum + shape.length, 0);
  const order = headerBytes + tensors.length * recordBytes;
  const shapes = roundUpTo8(order + tensors.length * 4);
  const text = shapes + dimensions * 8;
  const content = new ArrayBuffer(text + nameBytes);
  const file = Buffer.from(content);
  const words = new Uint32Array(content, 0, text / 4);
  file.write(magic, "latin1");
  words[2] = tensors.length;
  writeCount(words, 4, dimensions);
  writeCount(words, 6, nameBytes);
  let record = headerBytes / 4;
  let [dimension, nameOffset] = [0, 0];
  tensors.forEach(({ name, dtype, shape, slab, offset, bytes }, index) => {
    writeCount(words, record, offset);
    writeCount(words, record + 2, bytes);
    words[record + 4] = nameOffset;
    words[record + 5] = lengths[index]!;
    words[record + 6] = dimension;
    words[record + 7] = shape.length;
    words[record + 8] = slab;
    file.write(dtype, (record + 9) * 4, dtypeBytes, "latin1");
    record += recordBytes / 4;
    for (const size of shape) writeCount(words, shapes / 4 + 2 * dimension++, size);
    file.write(name, text + nameOffset);
    nameOffset += lengths[index]!;
  });
  words.set(byName(tensors, nameBytes), order / 4);
  return file;
}

/** Indices in the order of the names' bytes. */
function byName(tensors: readonly ManifestTensor[], nameBytes: number): number[] {
  const names = tensors.map(({ name }) => name);
  const indices = names.map((_, index) => index);
  const ascii = names.reduce((sum, name) => sum + name.length, 0) === nameBytes;
  // Beyond that the order of JavaScript is another one.
  if (ascii) return indices.sort((a, b) => (names[a]! < names[b]! ? -1 : 1));
  const bytes = names.map((name) => Buffer.from(name));
  return indices.sort((a, b) => Buffer.compare(bytes[a]!, bytes[b]!));
}

function roundUpTo8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/** A safe integer, in 64 bits. */
function writeCount(words: Uint32Array, at: number, count: number): void {
  words[at] = count % 2 ** 32;
  words[at + 1] = Math.floor(count / 2 ** 32);
}

/** Reads such a content, when all of it has been checked: `native.openManifest`. */
export class ManifestFile {
  readonly size: number;
  private readonly words: Uint32Array;
  private readonly bytes: Buffer;
  private readonly shapes: number;
  private readonly text: number;
  private readonly dtypes: { words: readonly number[]; name: string }[] = [];

  constructor(content: ArrayBuffer) {
    this.bytes = Buffer.from(content);
    this.words = new Uint32Array(content, 0, Math.floor(content.byteLength / 4));
    this.size = this.words[2]!;
    this.shapes = roundUpTo8(headerBytes + this.size * (recordBytes + 4)) / 4;
    this.text = this.shapes * 4 + this.count(4) * 8;
  }

  name(index: number): string {
    const record = recordAt(index);
    const begin = this.text + this.words[record + 4]!;
    return this.bytes.toString("utf8", begin, begin + this.words[record + 5]!);
  }

  tensor(index: number): ManifestTensor {
    const record = recordAt(index);
    const dimensions = this.shapes + 2 * this.words[record + 6]!;
    const shape: number[] = [];
    for (let axis = 0; axis < this.words[record + 7]!; axis++) shape.push(this.count(dimensions + 2 * axis));
    return {
      name: this.name(index),
      dtype: this.dtype(record + 9),
      shape,
      slab: this.words[record + 8]!,
      offset: this.count(record),
      bytes: this.count(record + 2),
    };
  }

  /** There are few, and most tensors have the same. */
  private dtype(at: number): string {
    const { words } = this;
    const known = this.dtypes.find(
      (dtype) =>
        dtype.words[0] === words[at] && dtype.words[1] === words[at + 1] && dtype.words[2] === words[at + 2],
    );
    if (known !== undefined) return known.name;
    const name = this.bytes.toString("latin1", at * 4, at * 4 + dtypeBytes).replace(/\0+$/, "");
    this.dtypes.push({ words: [...words.subarray(at, at + dtypeBytes / 4)], name });
    return name;
  }

  private count(at: number): number {
    return this.words[at]! + this.words[at + 1]! * 2 ** 32;
  }
}

/** Its first word. */
function recordAt(index: number): number {
  return (headerBytes + index * recordBytes) / 4;
}
